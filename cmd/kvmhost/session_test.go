package main

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/cmd/kvmhost/internal/command"
	"microvm/cmd/kvmhost/internal/wire"
)

// A signal is the command's, and kvmhost's own if the host would not pass it on.
func TestSignalToDeafHost(t *testing.T) {
	for _, tt := range []struct {
		name            string
		started, exited bool
		unanswered      int
		ended           bool
	}{
		{"no command yet", false, false, 0, true},
		{"the command runs", true, false, deafAfter - 1, false},
		{"the host does not answer", true, false, deafAfter, true},
		{"the command has ended", true, true, 0, true},
	} {
		var port bytes.Buffer
		s := &session{control: wire.NewConn(&port), started: tt.started, exited: tt.exited, unanswered: tt.unanswered}
		if err := s.onSignal(unix.SIGTERM); err != nil || s.ended != tt.ended || s.ended == (port.Len() > 0) {
			t.Errorf("%s: %v, ended %t, %d bytes sent", tt.name, err, s.ended, port.Len())
		}
		if tt.ended && s.status != command.StatusSignal+int(unix.SIGTERM) {
			t.Errorf("%s: status %d", tt.name, s.status)
		}
	}
}

// A host that leaves too many questions open hangs; one answer is enough to
// have it live.
func TestPing(t *testing.T) {
	var port bytes.Buffer
	s := &session{control: wire.NewConn(&port)}
	for range maxUnanswered {
		if err := s.ping(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ping(); err != errHostHangs {
		t.Errorf("after %d questions: %v, want %v", maxUnanswered, err, errHostHangs)
	}
	if err := s.onMessage(wire.Message{Kind: wire.Pong}); err != nil {
		t.Fatal(err)
	}
	if err := s.ping(); err != nil {
		t.Errorf("after an answer: %v", err)
	}
	for i := range maxUnanswered + 1 {
		if m, err := s.control.Receive(); err != nil || m.Kind != wire.Ping {
			t.Fatalf("message %d: %+v, %v", i, m, err)
		}
	}
}
