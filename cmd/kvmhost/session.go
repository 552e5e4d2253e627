package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"microvm/cmd/kvmhost/internal/command"
	"microvm/cmd/kvmhost/internal/wire"
)

// A hostError says how the throw-away host failed. Its kernel log may say why.
type hostError string

func (e hostError) Error() string { return "the throw-away host " + string(e) }

var (
	errHostGone  = hostError("ended before the command did")
	errCutShort  = hostError("ended before all that the command wrote had come through")
	errHostLate  = hostError(fmt.Sprintf("did not run the command within %v", startPatience))
	errHostHangs = hostError(fmt.Sprintf("hangs: no sign of life for %v", maxUnanswered*pingTime))
)

// startPatience is how long a host may take until it runs the command: many
// times what it takes on a busy machine.
const startPatience = 3 * time.Minute

const (
	// pingTime is how often the host is asked for a sign of life.
	pingTime = 500 * time.Millisecond
	// maxUnanswered is how many questions may be open: a minute's, which is
	// far more than a host takes that has all its processors in guests.
	// They are counted and not timed because kvmhost may be stopped, too.
	maxUnanswered = 120
	// deafAfter is how many open questions mean that a host hears no signal
	// either, so that it ends kvmhost.
	deafAfter = 10
)

// forwarded are the signals that are passed on to the command. While there is
// no command yet or any more, or the host does not answer, they end kvmhost.
var forwarded = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}

// A session is kvmhost's side of the conversation with the throw-away host
// about one job. All of it happens on the goroutine that calls run, but for
// the copying of each stream and the wait for messages.
type session struct {
	job      *wire.Job
	control  *wire.Conn
	signals  <-chan os.Signal
	input    *input
	progress *progress

	started    bool // the command runs
	unanswered int  // questions for a sign of life
	exited     bool // the command has ended, with status, and what it wrote may be on its way
	ended      bool // there is no more to do but to exit with status
	status     int
	restore    func() // gives the terminal back as it was

	messages  chan wire.Message // closed when the host is gone
	closed    chan string       // the names of outputs that nobody reads any more
	drained   chan error        // when all that the command wrote has come through, or cannot
	left      chan struct{}     // closed when run has returned
	outputs   errgroup.Group
	receiving sync.WaitGroup
}

// catchSignals returns the signals that a session acts on. The caller stops them.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 16)
	for _, sig := range forwarded {
		if !signal.Ignored(sig) { // as nohup(1) has it
			signal.Notify(signals, sig)
		}
	}
	// SIGPIPE too: an output that nobody reads is the command's affair.
	signal.Notify(signals, unix.SIGPIPE, unix.SIGWINCH)
	return signals
}

// newSession starts a session on the ports, which are in the order of
// wire.Ports. After run, and when the ports are closed, wait must be called.
func newSession(job *wire.Job, ports []*os.File, signals <-chan os.Signal, p *progress) (*session, error) {
	input, err := newInput(unix.Stdin, ports[1])
	if err != nil {
		return nil, err
	}
	s := &session{
		job: job, restore: func() {}, control: wire.NewConn(ports[0]), signals: signals, input: input, progress: p,
		messages: make(chan wire.Message), closed: make(chan string, 2),
		drained: make(chan error, 1), left: make(chan struct{}),
	}
	s.receiving.Go(s.receive)
	s.outputs.Go(func() error { return s.copyOutput(os.Stdout, ports[2], wire.Stdout) })
	s.outputs.Go(func() error { return s.copyOutput(os.Stderr, ports[3], wire.Stderr) })
	return s, nil
}

// wait waits for everything that the session started.
func (s *session) wait() {
	s.input.stop()
	_ = s.outputs.Wait() // an output that was cut short is run's to report
	s.receiving.Wait()
}

// receive passes on messages until the throw-away host is gone.
func (s *session) receive() {
	defer close(s.messages)
	for {
		m, err := s.control.Receive()
		if err != nil {
			return
		}
		select {
		case s.messages <- m:
		case <-s.left:
			return
		}
	}
}

// copyOutput copies what the command writes. Its error means that the host is gone,
// which receive sees too.
func (s *session) copyOutput(to, port *os.File, stream string) error {
	return wire.ReceiveStream(to, port, func() { s.closed <- stream })
}

// run has the job done and returns the command's exit status. When it returns
// without an error, all that the command wrote has been passed on.
func (s *session) run() (status int, err error) {
	defer close(s.left)
	defer func() { s.restore() }()

	late := time.NewTimer(startPatience)
	defer late.Stop()
	heartbeat := time.NewTicker(pingTime)
	defer heartbeat.Stop()
	for err == nil && !s.ended {
		select {
		case sig := <-s.signals:
			err = s.onSignal(sig.(syscall.Signal))
		case err = <-s.drained:
			if err != nil {
				err = errCutShort
			}
			s.ended = true
		case stream := <-s.closed:
			err = s.send(wire.Message{Kind: wire.Closed, Stream: stream})
		case m, alive := <-s.messages:
			switch {
			case alive:
				err = s.onMessage(m)
			case s.exited:
				err = errCutShort
			default:
				err = errHostGone
			}
		case <-late.C:
			if !s.started {
				err = errHostLate
			}
		case <-heartbeat.C:
			if s.started {
				err = s.ping()
			}
		}
	}
	return s.status, err
}

func (s *session) send(m wire.Message) error {
	if s.control.Send(m) != nil {
		return errHostGone
	}
	return nil
}

// ping asks the throw-away host for a sign of life. The question itself keeps it
// alive: QEMU loses an interrupt now and then, and a processor that waits for
// its timer's would wait for ever if no other came.
func (s *session) ping() error {
	if s.unanswered >= maxUnanswered {
		return errHostHangs
	}
	s.unanswered++
	return s.send(wire.Message{Kind: wire.Ping})
}

// onSignal does what a signal asks for.
func (s *session) onSignal(number syscall.Signal) error {
	switch {
	case number == unix.SIGPIPE:
		return nil // the write that caused it failed, too
	case number == unix.SIGWINCH:
		if !s.job.Terminal || !s.started {
			return nil
		}
		return s.send(wire.Message{Kind: wire.Resize, Size: terminalSize()})
	case !s.started || s.exited || s.unanswered >= deafAfter:
		s.end(command.StatusSignal + int(number))
		return nil
	}
	return s.send(wire.Message{Kind: wire.Signal, Number: int(number)})
}

// onMessage does what a message of the throw-away host asks for.
func (s *session) onMessage(m wire.Message) error {
	switch m.Kind {
	case wire.Ready:
		s.progress.say("modules loaded")
		return s.send(wire.Message{Kind: wire.Run, Job: *s.job})
	case wire.Mark:
		s.progress.say(m.Text)
	case wire.Started:
		s.progress.say("command started")
		s.started = true
		if s.job.Terminal {
			if err := s.takeTerminal(); err != nil {
				return err
			}
		}
		s.input.start()
	case wire.Pong:
		s.unanswered = 0
	case wire.Exit:
		s.exited, s.status = true, m.Status
		go func() { s.drained <- s.outputs.Wait() }()
	case wire.Fail:
		return &command.Error{Status: m.Status, Err: errors.New(m.Text)}
	}
	return nil
}

// end ends run, with a status for kvmhost to exit with.
func (s *session) end(status int) { s.ended, s.status = true, status }

// takeTerminal leaves it to the command's terminal what our keys mean, until
// restore, and tells it how large ours has become.
func (s *session) takeTerminal() error {
	state, err := term.MakeRaw(unix.Stdin)
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	s.restore = func() { _ = term.Restore(unix.Stdin, state) } // nothing to be done about a terminal that is gone
	return s.send(wire.Message{Kind: wire.Resize, Size: terminalSize()})
}
