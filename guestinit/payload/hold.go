package main

import (
	"bytes"
	"errors"
	"io"
	"os"

	"microvm/guestinit/payload/protocol"
)

// hold says that it waits, and waits for the end of input.
func hold(input *os.File) error {
	return eachLine(input, "for the end of input", func() error { return nil })
}

// eachLine says that it waits, and what for, and calls do for each line of input, to
// the end of it.
func eachLine(input *os.File, what string, do func() error) error {
	text(protocol.Waits, what)
	var p [512]byte
	for {
		n, err := input.Read(p[:])
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for range bytes.Count(p[:n], []byte("\n")) {
			if err := do(); err != nil {
				return err
			}
		}
	}
}
