package main

import (
	"errors"

	"microvm/cmd/internal/size"
	"microvm/cmd/vmm/internal/option"
	"microvm/vmm"
)

const balloonHelp = "a memory balloon, by `OPTIONS`: target=SIZE, or SIZE alone, for memory that the guest is to give back to the host (0 by default); " +
	"reporting=off if it is not to tell by itself which memory is free, " +
	"deflate-on-oom=off if it is not to take memory back rather than kill a process"

// setBalloon sets the balloon that the value of --balloon describes.
func (o *bootOptions) setBalloon(s *option.Set, text string) error {
	if o.balloon != nil {
		return errors.New("a machine has one balloon")
	}
	o.balloon = &vmm.Balloon{Reporting: true, DeflateOnOOM: true}
	s.Func("target", func(v string) (err error) {
		o.balloon.Target, err = size.Parse(v)
		return err
	})
	s.Switch("reporting", &o.balloon.Reporting)
	s.Switch("deflate-on-oom", &o.balloon.DeflateOnOOM)
	return s.Parse(text, "target")
}
