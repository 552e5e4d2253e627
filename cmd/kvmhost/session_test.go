package main

import (
	"bytes"
	"testing"

	"microvm/cmd/kvmhost/internal/wire"
)

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
