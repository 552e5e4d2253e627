package terminal

import (
	"context"
	"io"
	"sync"
)

// prefix is the key before a command to the monitor: Ctrl-A, as in other
// monitors and in screen(1).
const prefix = 0x01

// The keys after the prefix.
const (
	keyLeave = 'x'
	keyHelp  = 'h'
)

// Help says what the keys do, for a person in front of the terminal.
const Help = `Ctrl-A x       end the guest and leave
Ctrl-A h       this help
Ctrl-A Ctrl-A  send Ctrl-A to the guest
Every other key goes to the guest, Ctrl-C too.
`

// maxTyped is how many keys are kept for a guest that does not read them, as
// many as a Linux terminal keeps (termios(3), MAX_CANON rounded up). More are
// lost.
const maxTyped = 4096

// A Source is what a Keyboard reads: bytes, until ctx is done.
type Source interface {
	Read(ctx context.Context, p []byte) (int, error)
}

// A Keyboard takes the commands to the monitor out of what a person types and
// keeps the rest for the guest. It reads even if the guest does not, so that a
// hung guest can be left.
type Keyboard struct {
	typed chan byte
	stop  context.CancelFunc // nil before Start
	done  sync.WaitGroup
}

// Actions are what a Keyboard calls for the commands, on its own goroutine.
type Actions struct {
	Leave, Help func()
}

// NewKeyboard returns a Keyboard on which nothing has been typed.
func NewKeyboard() *Keyboard { return &Keyboard{typed: make(chan byte, maxTyped)} }

// Start begins to read src, until Close. It is called once.
func (k *Keyboard) Start(src Source, do Actions) {
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	k.done.Go(func() {
		defer close(k.typed)
		f := filter{emit: k.keep, do: do}
		var chunk [256]byte
		for {
			n, err := src.Read(ctx, chunk[:])
			f.add(chunk[:n])
			if err != nil { // the end, or the terminal is gone
				return
			}
		}
	})
}

// keep keeps one key for the guest if there is room.
func (k *Keyboard) keep(c byte) {
	select {
	case k.typed <- c:
	default:
	}
}

// Read gives the guest what was typed for it, waiting for the first key until
// ctx is done.
func (k *Keyboard) Read(ctx context.Context, p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, ctx.Err()
	}
	select {
	case c, ok := <-k.typed:
		if !ok {
			return 0, io.EOF
		}
		p[0] = c
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for n = 1; n < len(p); n++ {
		select {
		case c, ok := <-k.typed:
			if !ok {
				return n, nil
			}
			p[n] = c
		default:
			return n, nil
		}
	}
	return n, nil
}

// Close stops reading and waits until nothing more is called.
func (k *Keyboard) Close() {
	if k.stop != nil {
		k.stop()
	}
	k.done.Wait()
}

// A filter tells commands from keys for the guest. A command may come in two
// pieces.
type filter struct {
	emit       func(byte)
	do         Actions
	prefixSeen bool
}

func (f *filter) add(keys []byte) {
	for _, c := range keys {
		switch {
		case !f.prefixSeen:
			if f.prefixSeen = c == prefix; !f.prefixSeen {
				f.emit(c)
			}
			continue
		case c == keyLeave:
			f.do.Leave()
		case c == keyHelp:
			f.do.Help()
		case c == prefix:
			f.emit(prefix)
		default: // no command: the guest gets both, as if we were not there
			f.emit(prefix)
			f.emit(c)
		}
		f.prefixSeen = false
	}
}
