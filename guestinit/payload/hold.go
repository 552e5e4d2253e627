package main

import (
	"errors"
	"io"
	"os"

	"microvm/guestinit/payload/protocol"
)

// hold says that it waits, and waits for the end of input.
func hold(input *os.File) error {
	text(protocol.Waits, "for the end of input")
	var p [512]byte
	for {
		if _, err := input.Read(p[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
