package devices

// A GuestError says which rule of a specification the guest has broken. It is
// never the host's fault, and never a reason to end the monitor: the device
// that meets one stops serving the guest until it is reset.
type GuestError struct {
	Rule   string // the specification and section: "virtio-v1.2 §2.7.5.2"
	Detail string // what the guest did, with the numbers
	Err    error  // what was met on the way, or nil
}

func (e *GuestError) Error() string {
	s := e.Detail + " (" + e.Rule + ")"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *GuestError) Unwrap() error { return e.Err }
