package main

import (
	"microvm/devices/guestport"
	"microvm/guestinit/port"
)

// The stages of a guest's start, as the monitor shows them in its timeline.
const (
	stageInit       = guestport.StageInit
	stageReady      = guestport.StageReady
	stagePayload    = guestport.StagePayload
	stagePayloadEnd = guestport.StagePayloadEnd
)

// A guestPort is the port by which the monitor hears of the guest's stages. It
// says what fails, and then the guest goes on as on a machine without one.
type guestPort struct{ port.Port }

func openGuestPort() guestPort { return guestPort{port.Open()} }

// mark says that the guest has reached a stage.
func (p guestPort) mark(stage uint8) { sayFailed(p.Mark(stage)) }

// report says how the payload ended.
func (p guestPort) report(status uint8) { sayFailed(p.Report(status)) }

// console asks what is at the other end of the console.
func (p guestPort) console() (terminal bool, columns, rows uint16) {
	terminal, columns, rows, err := p.Console()
	sayFailed(err)
	return terminal, columns, rows
}

func sayFailed(err error) {
	if err != nil {
		say("guest port: ", err.Error())
	}
}
