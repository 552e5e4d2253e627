package main

import (
	"golang.org/x/sys/unix"
)

// console is the descriptor of the console. The kernel opens it as process 1's
// standard streams.
const console = 0

// A session is what the payload finds at its console.
type session struct {
	terminal bool // a person's terminal; else a file or a pipe
	control  bool // the console is our controlling terminal, so that Ctrl-C works
	early    int  // without a terminal: bytes of input that came before openConsole
}

// openConsole makes the console ready for the payload and learns from the
// monitor what is at its other end. The monitor is asked only after the line
// discipline has been told to leave input alone: from then on input arrives as
// it was sent, whatever it is.
func openConsole(port guestPort) session {
	s := session{terminal: true}
	cooked, err := unix.IoctlGetTermios(console, unix.TCGETS)
	if err != nil {
		return s // no console, or not one with a terminal's manners
	}
	raw := *cooked
	makeRaw(&raw)
	setTermios(&raw)
	var columns, rows uint16
	s.terminal, columns, rows = port.console()
	if s.terminal {
		cooked.Iflag |= unix.IUTF8
		cooked.Cflag |= unix.CRTSCTS
		setTermios(cooked)
	} else {
		s.early, _ = unix.IoctlGetInt(console, unix.TIOCINQ)
	}
	if columns != 0 && rows != 0 {
		size := unix.Winsize{Col: columns, Row: rows}
		_ = unix.IoctlSetWinsize(console, unix.TIOCSWINSZ, &size)
	}
	s.control = s.terminal && takeControl()
	return s
}

// reopenConsole opens the console anew. The kernel opened what was the console
// before modules were loaded: nothing, or another terminal than now. If hvc0 is
// wanted and has got no driver, the serial port is better than a screen that
// there is not.
func reopenConsole(line string) {
	openStreams("/dev/console")
	if wantsHVC(line) && !exists("/dev/hvc0") {
		openStreams("/dev/ttyS0")
		say("no driver has found hvc0: its module, virtio_console, is missing; the console is ttyS0")
	}
}

// wantsHVC reports whether a kernel's command line makes hvc0 the console.
func wantsHVC(line string) bool {
	for word := range kernelWords(line) {
		if word == "console=hvc0" {
			return true
		}
	}
	return false
}

// openStreams makes a terminal the three standard streams.
func openStreams(path string) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	for stream := range 3 {
		_ = unix.Dup3(fd, stream, 0)
	}
	unix.Close(fd)
}

// makeRaw turns off what a line discipline does to bytes in either direction.
// Lines may then be of any length: in canonical mode Linux drops what follows
// the 4095th byte of one.
//
// CRTSCTS makes Linux take back RTS when its buffer fills, at which the monitor
// stops sending; without it input that a slow payload leaves unread is lost
// beyond some 64 KiB.
func makeRaw(t *unix.Termios) {
	t.Iflag = unix.IGNBRK
	t.Oflag = 0
	t.Lflag = 0
	t.Cflag |= unix.CRTSCTS
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// setTermios sets what it can and keeps the input that is there.
func setTermios(t *unix.Termios) { _ = unix.IoctlSetTermios(console, unix.TCSETS, t) }

// takeControl makes process 1 the leader of a session whose controlling
// terminal is the console, so that the kernel stops those in the background who
// read it. Where it is no person's terminal process 1 reads it itself. The payload is not made the leader: when a leader
// ends, the kernel hangs up its terminal, and output that is still on its way
// is lost.
func takeControl() bool {
	if _, err := unix.Setsid(); err != nil {
		return false
	}
	return unix.IoctlSetInt(console, unix.TIOCSCTTY, 0) == nil
}
