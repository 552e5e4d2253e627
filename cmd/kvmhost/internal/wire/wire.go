// Package wire is what kvmhost and the process 1 of its throw-away host say
// to each other, over four virtio-serial ports:
//
//	kvmhost                                                process 1
//	  ◀── control: Ready, Pong, Mark, Started, Exit, Fail ──
//	  ─── control: Run, Ping, Signal, Resize, Closed ──────▶
//	  ─── stdin:   chunks, end ────────────────────────────▶   ──▶ command's stdin
//	  ◀── stdout:  chunks, end ─────────────────────────────   ◀── command's stdout
//	  ◀── stderr:  chunks, end ─────────────────────────────   ◀── command's stderr
//
// A port of its own for each stream gives each its own back-pressure: a
// command that does not read its input holds up no signal, and a full pipe
// behind standard output no byte of standard error. A virtio-serial port has
// no end of file, so the streams travel in chunks, the last of them empty.
package wire

import (
	"encoding/gob"
	"io"
	"time"
)

// The names of the ports, as the guest finds them in
// /sys/class/virtio-ports/*/name.
const (
	Control = "kvmhost.control"
	Stdin   = "kvmhost.stdin"
	Stdout  = "kvmhost.stdout"
	Stderr  = "kvmhost.stderr"
)

// Ports lists the ports in the order in which both sides number them.
var Ports = []string{Control, Stdin, Stdout, Stderr}

// A Kind says what a Message is and which of its fields mean something.
type Kind uint8

const (
	Ready   Kind = iota + 1 // from the guest, first: it is up
	Run                     // to the guest, in answer: Job
	Signal                  // to the guest: Number is sent to the command's process group
	Resize                  // to the guest: the terminal has a new Size
	Closed                  // to the guest: nobody reads Stream any more
	Ping                    // to the guest: is it alive?
	Pong                    // from the guest, in answer
	Mark                    // from the guest: it has done what Text says
	Started                 // from the guest: the command runs
	Exit                    // from the guest: the command ended with Status, and its streams and files are complete
	Fail                    // from the guest: the command could not be run; Status is kvmhost's own, Text says why
)

// A Message is one item on the control port.
type Message struct {
	Kind   Kind
	Job    Job
	Number int
	Size   Size
	Stream string // Stdout or Stderr
	Status int
	Text   string
}

// A Job is everything that process 1 needs to know to run the command as if
// it were run by kvmhost's caller.
type Job struct {
	Args     []string // as typed; Args[0] is looked up in Env's PATH
	Env      []string
	Dir      string
	UID, GID uint32
	Groups   []uint32
	Umask    int
	Limits   []Limit
	Shares   []Share // parents before their children
	Hostname string
	Time     time.Time
	// Terminal asks for a pseudo-terminal as standard input and output, of
	// this Size; ErrTerminal for the same as standard error.
	Terminal    bool
	ErrTerminal bool
	Size        Size
}

// A Share is a directory that the command may write, by its 9p mount tag.
type Share struct {
	Tag, Path string
}

// A Limit is a resource limit as setrlimit(2) has it.
type Limit struct {
	Resource int
	Cur, Max uint64
}

// A Size is a terminal's, in characters.
type Size struct {
	Rows, Columns uint16
}

// A Conn is one end of the control port. Send is for one goroutine at a time,
// and so is Receive.
type Conn struct {
	enc *gob.Encoder
	dec *gob.Decoder
}

// NewConn returns the end of the control port that is behind rw.
func NewConn(rw io.ReadWriter) *Conn {
	return &Conn{enc: gob.NewEncoder(rw), dec: gob.NewDecoder(rw)}
}

// Send sends one message.
func (c *Conn) Send(m Message) error { return c.enc.Encode(m) }

// Receive waits for the next message. At the end of the connection its error
// is io.EOF.
func (c *Conn) Receive() (m Message, err error) {
	err = c.dec.Decode(&m)
	return m, err
}
