package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"microvm/cmd/vmm/internal/ctxio"
	"microvm/cmd/vmm/internal/terminal"
	"microvm/vmm"
)

// A console is what is at the other end of the guest's console: a person's
// terminal, files, or nothing.
type console struct {
	vmm.Console
	in, out *ctxio.File
	input   *os.File // what in reads

	// Of a terminal:
	keyboard *terminal.Keyboard
	shown    bool                         // what the guest writes goes to a terminal too
	raw      atomic.Pointer[terminal.Raw] // nil until it is raw
	detached atomic.Bool
	messages *terminal.Messages
	leave    context.CancelCauseFunc // ends the guest, set before the keyboard starts
	last     *lastByte

	mu      sync.Mutex
	machine machine // whose guest is told of the terminal's size; guarded by mu, nil at first
}

// A lastByte is a writer that knows what it wrote last.
type lastByte struct {
	w vmm.ContextWriter
	b atomic.Uint32 // 0 before the first
}

// Write implements vmm.ContextWriter.
func (l *lastByte) Write(ctx context.Context, p []byte) (int, error) {
	n, err := l.w.Write(ctx, p)
	if n > 0 {
		l.b.Store(uint32(p[n-1]))
	}
	return n, err
}

// midLine reports whether what was written does not end with a line.
func (l *lastByte) midLine() bool {
	b := l.b.Load()
	return b != 0 && b != '\n'
}

// errLeave is why a guest ended that its user left.
var errLeave = errors.New("Ctrl-A x")

// openConsole makes a console of standard input, or of the file at inputPath
// if that is not "", and output.
func (a *app) openConsole(kind vmm.ConsoleKind, inputPath string, output *os.File) (_ *console, err error) {
	con := &console{Console: vmm.Console{Kind: kind}, input: a.stdin, messages: a.messages}
	if kind == vmm.ConsoleOff {
		return con, nil
	}
	defer func() {
		if err != nil {
			con.close()
		}
	}()
	if inputPath != "" {
		if con.input, err = openInput(inputPath); err != nil {
			return nil, err
		}
	}
	if con.in, err = ctxio.NewReader(con.input); err != nil {
		return nil, err
	}
	if con.out, err = ctxio.NewWriter(output); err != nil {
		return nil, err
	}
	con.last = &lastByte{w: con.out}
	con.In, con.Out = con.in, con.last
	if inputPath == "" && terminal.IsTerminal(con.input) {
		con.keyboard = terminal.NewKeyboard()
		con.In = con.keyboard
		// Raw keys want a guest that edits lines and echoes, wherever
		// its output goes.
		con.Terminal = true
		con.Columns, con.Rows = terminal.Size(con.input)
		con.shown = terminal.IsTerminal(output)
	}
	return con, nil
}

// openInput opens a file for the guest to read.
func openInput(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("console-input %s: is a directory", path)
	}
	return f, nil
}

// attach gives the terminal, if there is one, to the guest.
func (c *console) attach(a *app) error {
	if c.keyboard == nil {
		return nil
	}
	raw, err := terminal.MakeRaw(c.input, a.guard)
	if err != nil {
		return err
	}
	c.raw.Store(raw)
	c.messages.SetRaw(terminal.IsTerminal(a.stderr))
	io.WriteString(c.messages, "vmm: Ctrl-A x ends the guest, Ctrl-A h is help\n")
	c.keyboard.Start(c.in, terminal.Actions{
		Leave: func() { c.leave(errLeave) },
		Help:  func() { io.WriteString(c.messages, "\n"+terminal.Help) },
	})
	return nil
}

// detach gives the terminal back to the user. It may be called more than once,
// and from a signal's goroutine.
func (c *console) detach() {
	raw := c.raw.Load()
	if raw == nil {
		return
	}
	err := raw.Restore()
	if c.detached.Swap(true) {
		return
	}
	c.messages.SetRaw(false)
	if err != nil {
		// Most likely the terminal is gone, and so is who would read this.
		fmt.Fprintf(c.messages, "vmm: %v\n", err)
	}
	if c.shown && c.last.midLine() {
		// What comes next is ours, or the shell's prompt.
		io.WriteString(c.messages, "\n")
	}
}

// show makes m the machine whose guest is told of the terminal's size.
func (c *console) show(m machine) {
	c.mu.Lock()
	c.machine = m
	c.mu.Unlock()
	c.resize()
}

// resize tells the guest the size that the terminal has now.
func (c *console) resize() {
	if c.keyboard == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.machine != nil {
		c.machine.Resize(terminal.Size(c.input))
	}
}

// again takes the terminal again after this process was stopped.
func (c *console) again() {
	if raw := c.raw.Load(); raw != nil {
		// It fails only if the terminal is gone, which its reader sees.
		_ = raw.Again()
	}
}

// close gives everything back. No machine may use the console any more.
func (c *console) close() {
	if c.keyboard != nil {
		c.keyboard.Close()
	}
	c.detach()
	for _, f := range []*ctxio.File{c.in, c.out} {
		if f != nil {
			f.Close()
		}
	}
}
