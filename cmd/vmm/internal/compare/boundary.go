package compare

// A Boundary is a moment in the life of a payload. Every arm passes all those
// that its kind of isolation has, in this order. A time is only compared with a
// time between the same two boundaries.
type Boundary string

// The boundaries.
const (
	Spawn       Boundary = "spawn"        // just before the arm's process is started: the zero of all times
	Ready       Boundary = "ready"        // the runtime or the monitor has built what the payload will run in
	GuestStart  Boundary = "guest-start"  // the first KVM_RUN of a guest, firmware or kernel
	KernelEntry Boundary = "kernel-entry" // the first instruction of the guest's kernel
	Init        Boundary = "init"         // the first instructions of the guest's process 1
	Payload     Boundary = "payload"      // the payload's first instructions
	PayloadEnd  Boundary = "payload-end"  // the payload's last instructions
	Exit        Boundary = "exit"         // the parent has seen the arm's process exit
)

// Boundaries are all of them in the order of time.
var Boundaries = []Boundary{Spawn, Ready, GuestStart, KernelEntry, Init, Payload, PayloadEnd, Exit}
