package pcap_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"microvm/devices/virtio/net"
	"microvm/vmm/network/pcap"
)

// An echo is a backend that gives each frame back.
type echo struct {
	frames [][]byte
	closed bool
}

func (*echo) Pairs() int                      { return 1 }
func (*echo) Offloads() net.Offloads          { return net.Offloads{} }
func (*echo) SetOffloads(net.Offloads) error  { return nil }
func (*echo) SetPairs(int) error              { return nil }
func (e *echo) Answers(int) bool              { return len(e.frames) > 0 }
func (*echo) Wake(int)                        {}
func (*echo) Wait(context.Context, int) error { return nil }
func (e *echo) Close() error                  { e.closed = true; return nil }

func (e *echo) Send(_ int, frame [][]byte) error {
	e.frames = append(e.frames, bytes.Join(frame, nil))
	return nil
}

func (e *echo) Receive(_ int, into [][]byte) (n int, err error) {
	for _, p := range into {
		n += copy(p, e.frames[0][n:])
	}
	return n, nil
}

func TestCapture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "capture")
	e := &echo{}
	b, err := pcap.New(e, path, "net0")
	if err != nil {
		t.Fatal(err)
	}
	header := make([]byte, net.HeaderSize)
	want := bytes.Repeat([]byte("frame"), 3000)
	began := time.Now()
	if err := b.Send(0, [][]byte{header, want[:14], want[14:]}); err != nil {
		t.Fatal(err)
	}
	// The frame may be shorter than the room.
	into := [][]byte{make([]byte, net.HeaderSize), make([]byte, 100), make([]byte, 1<<16)}
	if n, err := b.Receive(0, into); n != net.HeaderSize+len(want) || err != nil {
		t.Fatalf("received %d bytes, %v", n, err)
	}
	// All of it is there before the file is closed.
	checkCapture(t, path, began, want, want)
	if err := b.Close(); err != nil || !e.closed {
		t.Errorf("close: %v; backend closed: %t", err, e.closed)
	}
}

// checkCapture checks that the file has these frames, carried since began.
func checkCapture(t *testing.T, path string, began time.Time, frames ...[]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeEthernet {
		t.Errorf("link type %v", r.LinkType())
	}
	for i, want := range frames {
		got, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if !bytes.Equal(got, want) || info.Length != len(want) {
			t.Errorf("frame %d: %d bytes, length %d; want %d", i, len(got), info.Length, len(want))
		}
		if info.Timestamp.Before(began) || info.Timestamp.After(time.Now()) {
			t.Errorf("frame %d at %v", i, info.Timestamp)
		}
		began = info.Timestamp
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
}

func TestFileCannotBeMade(t *testing.T) {
	e := &echo{}
	if _, err := pcap.New(e, filepath.Join(t.TempDir(), "no", "such"), "net0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if e.closed {
		t.Error("the backend was closed")
	}
}
