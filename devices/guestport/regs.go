package guestport

// The registers of the guest port, by offset from its base. Every access may
// be of single bytes, as /dev/port makes them.
const (
	RegStage   = 0 // W, 8 bits: the guest has reached this stage (Stage… below)
	RegStatus  = 1 // W, 8 bits: exit status of the guest's payload, which becomes the monitor's
	RegConsole = 2 // R, 8 bits: what is at the other end of the console (Console… below)
	RegColumns = 4 // R, 16 bits: width of the terminal there in characters, 0 if there is none
	RegRows    = 6 // R, 16 bits: height of the terminal there in lines, 0 if there is none
	Size       = 8 // bytes of I/O port space
)

// ConsoleTerminal in RegConsole says that a person's terminal is at the other
// end of the console, not a file or a pipe.
const ConsoleTerminal = 1 << 0

// HID is the ACPI hardware ID of the port (ACPI 6.5 §6.1.5). Linux makes a
// platform device of it, so that a guest finds the address as the line
// "MVMM0001:00" in /proc/ioports.
const HID = "MVMM0001"

// The stages that the project's own guest reports: process 1 the first four, a
// payload that knows of the port the last two. A guest may report any other value
// for its own purposes.
const (
	StageInit       = 1 // PID 1 runs its first instructions
	StageReady      = 2 // mounts done and modules loaded: the system is up
	StagePayload    = 3 // the payload, or the shell, is about to be started
	StagePayloadEnd = 4 // the payload has ended
	StageProgram    = 5 // the payload's own first instructions
	StageProgramEnd = 6 // its own last instructions
)
