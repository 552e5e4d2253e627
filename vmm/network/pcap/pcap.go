// Package pcap writes down the frames that a backend carries, in the pcapng format
// with the time to the nanosecond, for tcpdump or Wireshark.
//
// A frame is written as guest and backend see it: whole before segmentation and
// with its checksum undone where that is left to the other side. Each is in the
// file when it is carried, and is there whole or not at all whenever the monitor
// is killed.
package pcap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
)

// nanoseconds is the resolution of times, as an exponent of 10 (pcapng if_tsresol).
const nanoseconds = 9

// A Backend is another one whose frames are written to a file.
type Backend struct {
	net.Backend
	file *os.File

	mu     sync.Mutex
	blocks bytes.Buffer // what a frame adds to the file; guarded by mu, as below
	writer *pcapgo.NgWriter
	frame  []byte // scratch
}

// New writes the frames of b to the file at path, which is overwritten. Name is what
// the interface is called there. If there is an error b is as it was.
func New(b net.Backend, path, name string) (*Backend, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("capture of %s: %w", name, err)
	}
	p := &Backend{Backend: b, file: file}
	p.writer, err = pcapgo.NewNgWriterInterface(&p.blocks, pcapgo.NgInterface{
		Name: name, LinkType: layers.LinkTypeEthernet, TimestampResolution: nanoseconds, OS: runtime.GOOS,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "vmm"}})
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("capture of %s: %w", name, err), file.Close())
	}
	return p, nil
}

// flush writes to the file what a frame has added, at once.
func (p *Backend) flush() error {
	err := p.writer.Flush()
	if err == nil {
		_, err = p.file.Write(p.blocks.Bytes())
	}
	p.blocks.Reset()
	return err
}

// Describe implements virtio.Describer.
func (p *Backend) Describe() (about []virtio.Property) {
	if d, ok := p.Backend.(virtio.Describer); ok {
		about = d.Describe()
	}
	return append(about, virtio.Property{Name: "capture", Value: p.file.Name()})
}

// Send implements net.Backend.
func (p *Backend) Send(pair int, frame [][]byte) error {
	n := 0
	for _, piece := range frame {
		n += len(piece)
	}
	if err := p.write(frame, n); err != nil {
		return err
	}
	return p.Backend.Send(pair, frame)
}

// Receive implements net.Backend.
func (p *Backend) Receive(pair int, into [][]byte) (int, error) {
	n, err := p.Backend.Receive(pair, into)
	if err == nil && n > 0 {
		err = p.write(into, n)
	}
	return n, err
}

// write writes the frame that is the first n bytes of pieces, without its header,
// which is the first piece.
func (p *Backend) write(pieces [][]byte, n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frame = p.frame[:0]
	n -= net.HeaderSize
	for _, piece := range pieces[1:] {
		p.frame = append(p.frame, piece[:min(len(piece), n-len(p.frame))]...)
	}
	err := p.writer.WritePacket(gopacket.CaptureInfo{Timestamp: time.Now(), CaptureLength: n, Length: n}, p.frame)
	if err := errors.Join(err, p.flush()); err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	return nil
}

// Close implements net.Backend.
func (p *Backend) Close() error { return errors.Join(p.file.Close(), p.Backend.Close()) }
