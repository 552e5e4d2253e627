package vsock

import (
	"errors"
	"testing"
)

// Of two streams with the same ports the first one stays.
func TestPortsTakenAtOnce(t *testing.T) {
	s := newSession(t.Context(), &Device{}, nil, nil)
	ports := flow{guest: 22, host: firstPort}
	first, end := s.newStream(ports), make(chan struct{})
	if err := s.begin(first, func() { <-end }); err != nil {
		t.Fatal(err)
	}
	if err := s.begin(s.newStream(ports), func() { t.Error("the second stream runs") }); !errors.Is(err, errTaken) {
		t.Errorf("the second stream: %v", err)
	}
	if s.find(ports) != first {
		t.Error("the first stream is not found")
	}
	close(end)
	s.streams.Wait()
}
