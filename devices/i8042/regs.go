package i8042

// The registers by offset from port 0x60. The ports between are not the
// controller's; port 0x61 is the interval timer's gate and the speaker.
const (
	regData    = 0 // RW: data to and from keyboard and mouse
	regStatus  = 4 // R: status
	regCommand = 4 // W: command to the controller

	// Size is the number of ports from the first register to the last.
	Size = 5
)

// commandReset pulses bit 0 of the controller's output port, which a PC has
// wired to the CPU's reset.
const commandReset = 0xfe

// statusAbsent is what the status register always reads as: output buffer full
// (bit 0), input buffer empty (bit 1 clear). Linux' driver empties the output
// buffer, gives up after 17 bytes and calls the controller absent; from an
// empty buffer it would wait half a second for the answer to its first command.
// Before a reset Linux waits up to 65,536 reads for the input buffer to be
// empty, so all ones would not do.
const statusAbsent = 1 << 0
