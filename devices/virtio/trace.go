package virtio

// A Trace is a set of hooks into a device; any may be nil. They are called from
// any of the machine's goroutines and must not call the device.
type Trace struct {
	// Status is called after the status changed, by the driver or the
	// device. Err is what the driver did wrong, if that is why.
	Status func(s Status, err error)
	// Features is called when the driver has settled on features; refused
	// says what is wrong with them, nil if they are negotiated.
	Features func(offered, accepted Features, refused error)
	// Ring is called for each chain that is taken from queue or given back.
	Ring func(queue int, e RingEvent)
}

// A RingEvent is a chain on its way.
type RingEvent struct {
	Used     bool // given back to the driver, not taken from it
	Readable int  // bytes that the driver says; of a chain that is taken
	Writable int  // bytes of room, or, of a chain given back, written
}
