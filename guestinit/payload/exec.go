package main

import (
	"errors"
	"os"
)

// execute runs a command of the user's to its end, which has to be a success. It
// is a child, so that its end can be marked.
func execute(command []string) error {
	if len(command) == 0 {
		return errUsage
	}
	p, err := os.StartProcess(command[0], command, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}
