// Package pvpanic is QEMU's pvpanic device, by which a guest's kernel says that
// it has panicked.
//
// A hostile guest can report as often as it likes; it costs it an exit each
// time, and what is made of it is the machine's affair. The device has no
// state.
package pvpanic

import "strings"

// An Event is a set of what a guest can report.
type Event uint8

// String names the events in e, such as "panicked".
func (e Event) String() string {
	var names []string
	if e&Panicked != 0 {
		names = append(names, "panicked")
	}
	if e&CrashLoaded != 0 {
		names = append(names, "crash kernel loaded")
	}
	return strings.Join(names, ", ")
}

// A Device is a pvpanic device. Its methods may be called from any goroutine.
type Device struct {
	report func(Event)
}

// New returns a device that calls report for each report of at least one known
// event, on the vCPU's thread and with no lock held. After [Panicked] a guest
// may write some more to its console, and then reboot or halt for ever.
func New(report func(Event)) *Device { return &Device{report: report} }

// Name implements devices.Device.
func (d *Device) Name() string { return "pvpanic" }

// ReadIO implements devices.Device.
func (d *Device) ReadIO(_ uint64, p []byte) {
	clear(p)
	p[0] = uint8(Panicked | CrashLoaded)
}

// WriteIO implements devices.Device. Events that ReadIO does not offer are
// ignored.
func (d *Device) WriteIO(_ uint64, p []byte) {
	if e := Event(p[0]) & (Panicked | CrashLoaded); e != 0 {
		d.report(e)
	}
}
