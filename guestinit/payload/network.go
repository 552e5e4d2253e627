package main

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microvm/guestinit/payload/protocol"
)

// dial opens a TCP connection. Package net would do that too, and cost each
// start of the payload its initialisation.
func dial(address string) (*os.File, error) {
	peer, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), address)
	err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, peer))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// parseAddress reads an IPv4 address and a port.
func parseAddress(address string) (*unix.SockaddrInet4, error) {
	host, port, _ := strings.Cut(address, ":")
	octets, err := parseHost(host)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil {
		return nil, errors.New(strconv.Quote(address) + ": want an IPv4 address and a port, such as 10.0.2.2:8000")
	}
	return &unix.SockaddrInet4{Port: int(n), Addr: [4]byte(octets)}, nil
}

// parseHost reads an IPv4 address: 4 bytes.
func parseHost(text string) ([]byte, error) {
	octets := make([]byte, 0, 4)
	for part := range strings.SplitSeq(text, ".") {
		octet, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return nil, err
		}
		octets = append(octets, byte(octet))
	}
	if len(octets) != 4 {
		return nil, errors.New("not four numbers")
	}
	return octets, nil
}

// roundTrip sends a message and waits for its echo.
func roundTrip(address string) error {
	f, err := dial(address)
	if err != nil {
		return err
	}
	defer f.Close()
	message := make([]byte, protocol.MessageSize)
	return rate(protocol.RoundTrip, protocol.PerSecond, 1, func() error {
		if _, err := f.Write(message); err != nil {
			return err
		}
		_, err := io.ReadFull(f, message)
		return err
	})
}

// streamSize is how much is written or read at once.
const streamSize = 128 << 10

// stream moves bytes to the peer or from it.
func stream(address, direction string) error {
	move, metric := streamTo, protocol.StreamedTo
	switch direction {
	case protocol.StreamTo:
	case protocol.StreamFrom:
		move, metric = streamFrom, protocol.StreamedFrom
	default:
		return errUsage
	}
	f, err := dial(address)
	if err != nil {
		return err
	}
	defer f.Close()
	begun := time.Now()
	n, err := move(f, begun.Add(measured))
	if err != nil {
		return err
	}
	perSecond(metric, protocol.BytesPerSecond, n, time.Since(begun))
	return nil
}

// streamTo writes to the peer until the time has come, and waits until it has
// read all.
func streamTo(f *os.File, until time.Time) (n int, err error) {
	p := make([]byte, streamSize)
	for time.Now().Before(until) {
		wrote, err := f.Write(p)
		if err != nil {
			return 0, err
		}
		n += wrote
	}
	if err := unix.Shutdown(int(f.Fd()), unix.SHUT_WR); err != nil {
		return 0, os.NewSyscallError("shutdown", err)
	}
	_, err = io.Copy(io.Discard, f)
	return n, err
}

// streamFrom reads from the peer until the time has come.
func streamFrom(f *os.File, until time.Time) (n int, err error) {
	p := make([]byte, streamSize)
	for time.Now().Before(until) {
		read, err := f.Read(p)
		if err != nil { // the end as well: it comes too early
			return 0, err
		}
		n += read
	}
	return n, nil
}
