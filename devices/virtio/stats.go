package virtio

// Stats are what a device has done, over all its sessions.
type Stats struct {
	Name     string       `json:"name"`
	DeviceID DeviceID     `json:"device_id"`
	Status   string       `json:"status"`
	Offered  string       `json:"features_offered"`
	Accepted string       `json:"features_accepted"`          // what was negotiated last
	Refused  string       `json:"features_refused,omitempty"` // why what the driver wanted last was not
	Sessions uint64       `json:"sessions"`                   // how often a driver has got the device going
	Errors   uint64       `json:"guest_errors"`               // rules that the driver has broken
	Error    string       `json:"last_guest_error,omitempty"`
	Queues   []QueueStats `json:"queues"`
	Device   []Property   `json:"device"` // what the device type says
}

// QueueStats are what happened on a queue.
type QueueStats struct {
	Chains     uint64 `json:"chains"`     // buffers taken from the driver
	Wakeups    uint64 `json:"wakeups"`    // times that the device was woken for them
	Interrupts uint64 `json:"interrupts"` // times that the driver was interrupted
	Suppressed uint64 `json:"suppressed"` // times that it did not want to be
}

// Stats may be called at any time.
func (c *control) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Name: c.Name, DeviceID: c.dev.ID(), Status: c.status.String(),
		Offered: c.offered.String(), Accepted: c.settled.String(),
		Sessions: c.sessions.Load(), Errors: c.errors,
		Refused: text(c.refused), Error: text(c.lastErr),
		Queues: []QueueStats{}, Device: []Property{},
	}
	for i := range c.counts {
		n := &c.counts[i]
		s.Queues = append(s.Queues, QueueStats{n.chains.Load(), n.wakeups.Load(), n.interrupts.Load(), n.suppressed.Load()})
	}
	if d, ok := c.dev.(Describer); ok {
		s.Device = append(s.Device, d.Describe()...)
	}
	return s
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
