package vmm

import "fmt"

// An End is a way in which a guest ends.
type End string

const (
	EndPoweredOff    End = "powered-off"        // ACPI S5
	EndRebooted      End = "rebooted"           // reset register or keyboard controller; whoever wants it again makes a new Machine
	EndPanicked      End = "panicked"           // the guest's kernel said so through pvpanic
	EndTripleFault   End = "triple-fault"       // a vCPU shut down: SDM 3A §6.15, interrupt 8
	EndInternalError End = "kvm-internal-error" // KVM could not go on: kvm-api KVM_EXIT_INTERNAL_ERROR
	EndStopped       End = "stopped"            // the user, or a signal, asked for it
	EndFailure       End = "vmm-failure"        // the host or the monitor failed
)

// An Outcome is how a guest ended.
type Outcome struct {
	End    End    `json:"end"`
	Status uint8  `json:"guest_status"` // exit status that the guest reported, 0 if it did not
	Detail string `json:"detail,omitempty"`
	// Diagnosis is what a person needs to find out why the guest died, nil
	// if it ended in good order.
	Diagnosis *Diagnosis `json:"diagnosis,omitempty"`
}

// The exit statuses of the ends that are not the guest's own. They lie above
// what programs commonly use and below what a shell makes of signals.
const (
	StatusFailure       = 1
	StatusUsage         = 2
	StatusRebooted      = 100
	StatusPanicked      = 101
	StatusTripleFault   = 102
	StatusInternalError = 103
	StatusStopped       = 104
)

// ExitStatus is the exit status that a command ends with after o: the guest's
// own if it powered off in good order, else one for each End.
func (o Outcome) ExitStatus() int {
	switch o.End {
	case EndPoweredOff:
		return int(o.Status)
	case EndRebooted:
		return StatusRebooted
	case EndPanicked:
		return StatusPanicked
	case EndTripleFault:
		return StatusTripleFault
	case EndInternalError:
		return StatusInternalError
	case EndStopped:
		return StatusStopped
	}
	return StatusFailure
}

func (o Outcome) String() string {
	s := string(o.End)
	if o.Status != 0 {
		s += fmt.Sprintf(", guest status %d", o.Status)
	}
	if o.Detail != "" {
		s += ": " + o.Detail
	}
	return s
}
