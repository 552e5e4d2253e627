package main

import (
	"errors"
	"strconv"

	"microvm/cmd/vmm/internal/option"
	"microvm/vmm"
)

const vsockHelp = "streams to and from programs in the guest, by `OPTIONS`: cid=NUMBER for the guest's context ID, from 3 on; " +
	"path=FILE for a Unix socket to be made, on which \"CONNECT PORT\" leads to a port of the guest; " +
	"the guest's connections to a port of the host (CID 2) go to the socket FILE_PORT"

// setVsock takes the value of --vsock.
func (o *bootOptions) setVsock(s *option.Set, text string) error {
	if o.vsock != nil {
		return errors.New("there is one already; a guest has one context ID")
	}
	o.vsock = &vmm.Vsock{}
	hasCID := false
	s.Func("cid", func(v string) error {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return errors.New("must be a number from 3 to 4294967294")
		}
		o.vsock.CID, hasCID = uint32(n), true
		return nil
	})
	s.Path("path", &o.vsock.Path)
	if err := s.Parse(text, ""); err != nil {
		return err
	}
	if !hasCID || o.vsock.Path == "" {
		return errors.New("must be cid=NUMBER,path=FILE")
	}
	return nil
}
