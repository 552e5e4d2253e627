package vmm

import (
	"errors"
	"fmt"

	device "microvm/devices/virtio/vsock"
	"microvm/vmm/vsock"
)

// A Vsock is a virtio socket device: streams between programs in the guest and
// programs on the host (package microvm/vmm/vsock).
type Vsock struct {
	CID  uint32 // the guest's context ID, from 3 to 2^32-2
	Path string // of the Unix socket to the guest; those from the guest have "_" and a port after it
}

// check passes what is wrong with v to wrong.
func (v *Vsock) check(wrong func(error)) {
	if err := device.CheckCID(v.CID); err != nil {
		wrong(err)
	}
	if err := vsock.CheckPath(v.Path); err != nil {
		wrong(err)
	}
}

// A vsockDevice is the device with its ends on the host.
type vsockDevice struct {
	*device.Device
	host *vsock.Host
}

// Close implements io.Closer, for the board.
func (d vsockDevice) Close() error { return d.host.Close() }

// addVsock puts the socket device on the board, if there is to be one.
func (m *Machine) addVsock() error {
	if m.config.Vsock == nil {
		return nil
	}
	host, err := vsock.New(m.config.Vsock.Path)
	if err != nil {
		return fmt.Errorf("vsock: %w", err)
	}
	dev, err := device.New(m.config.Vsock.CID, host)
	if err != nil {
		return errors.Join(fmt.Errorf("vsock: %w", err), host.Close())
	}
	m.vsock = &vsockDevice{dev, host}
	return m.addVirtio("vsock", m.vsock)
}

// listenVsock makes the socket. It is the last that is made, so that none is left
// by a monitor that is ended while it builds a machine.
func (m *Machine) listenVsock() error {
	if m.vsock == nil {
		return nil
	}
	if err := m.vsock.host.Listen(m.vsock); err != nil {
		return fmt.Errorf("vsock: %w", err)
	}
	return nil
}
