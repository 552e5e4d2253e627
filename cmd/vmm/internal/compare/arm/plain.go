package arm

import (
	"cmp"
	"context"
	"errors"
)

// A plain is a Prepared of which nothing is left on the host but files in the
// directory that it was given.
type plain struct {
	files   []string
	command func(id string, argv []string, x Extras) (*Command, error)
	// access tells how the payload gets at extras, or why not; nil if there are
	// none.
	access func(x Extras) (Access, error)
	extras Extras
}

func (p plain) Command(id string, argv []string) (*Command, error) {
	return p.command(id, argv, p.extras)
}
func (p plain) Files() []string             { return p.files }
func (p plain) Close(context.Context) error { return nil }

// Equip implements Equipper.
func (p plain) Equip(x Extras) (Prepared, Access, error) {
	p.extras = p.extras.and(x)
	if p.access == nil {
		return nil, Access{}, errNoExtras
	}
	a, err := p.access(p.extras)
	return p, a, err
}

// and returns the extras of both.
func (x Extras) and(more Extras) Extras {
	return Extras{Network: x.Network || more.Network, File: cmp.Or(more.File, x.File)}
}

var errNoExtras = errors.New("this arm has no network and no file for its instances")

// Where extras are.
const (
	loopback      = "127.0.0.1"
	containerFile = "/tmp/file" // in a file system that the root directory has no part in
)

// containerAccess is that to the extras of a container with the host's network.
func containerAccess(x Extras) (Access, error) {
	a := hostNetwork
	a.File, a.FileAs = containerFile, "bind mount"
	return a, nil
}

// hostNetwork is that of the host itself.
var hostNetwork = Access{Network: "host", Host: loopback, Listen: loopback}
