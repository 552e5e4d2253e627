package main

import (
	"errors"
	"io"
	"os"
)

// hold waits for the end of input.
func hold(input *os.File) error {
	var p [512]byte
	for {
		if _, err := input.Read(p[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
