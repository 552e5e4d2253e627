package main

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// address gives the network interface an IPv4 address and takes it up, in a
// guest whose init has no programs for that.
func address(text string) error {
	address, mask, err := parsePrefix(text)
	if err != nil {
		return err
	}
	name, err := networkInterface("/sys/class/net")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		call  string
		ioctl uint
		value []byte
	}{
		{"SIOCSIFADDR", unix.SIOCSIFADDR, address},
		{"SIOCSIFNETMASK", unix.SIOCSIFNETMASK, mask},
	} {
		if err := request.SetInet4Addr(step.value); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, step.ioctl, request); err != nil {
			return os.NewSyscallError(step.call, err)
		}
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("SIOCSIFFLAGS", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request))
}

// networkInterface returns the name of the only one in dir beside the loopback.
func networkInterface(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != "lo" {
			names = append(names, entry.Name())
		}
	}
	if len(names) != 1 {
		return "", errors.New("network interfaces are " + strconv.Quote(strings.Join(names, " ")) + ", want one")
	}
	return names[0], nil
}

// parsePrefix reads an IPv4 address and the number of its bits that are its
// network's.
func parsePrefix(text string) (address, mask []byte, err error) {
	host, length, _ := strings.Cut(text, "/")
	address, err = parseHost(host)
	bits, bitsErr := strconv.ParseUint(length, 10, 8)
	if err != nil || bitsErr != nil || bits > 32 {
		return nil, nil, errors.New(strconv.Quote(text) + ": want an IPv4 address and a number of bits, such as 10.0.2.15/24")
	}
	return address, binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-bits)), nil
}
