package main

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// eot is the byte with which the monitor ends its input: what Ctrl-D types.
const eot = 0x04

// feed copies the console's input to w, which it closes, until the byte eot.
// The payload reads the other end: a pipe, as on the host.
//
// Of the first early bytes the line discipline has made what it makes of a
// terminal's: there a 0 stands for eot. (N_TTY keeps the end-of-file character
// so in its buffer.)
func feed(w *os.File, early int) {
	defer w.Close()
	unread := true // the payload has not closed its standard input
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(console, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		input, end := untilEnd(buffer[:n], early)
		early -= min(early, n)
		if unread {
			_, err = w.Write(input)
			unread = err == nil
		}
		if end {
			return
		}
	}
}

// untilEnd returns what comes before the end of input, and whether it is there.
// The first early bytes have been through the line discipline.
func untilEnd(input []byte, early int) (before []byte, end bool) {
	early = min(early, len(input))
	at := bytes.IndexByte(input[:early], 0)
	if first := bytes.IndexByte(input, eot); at < 0 || first >= 0 && first < at {
		at = first
	}
	if at < 0 {
		return input, false
	}
	return input[:at], true
}
