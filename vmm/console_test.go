package vmm

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"microvm/devices/serial"
)

// noLine is an interrupt line that nobody listens to.
type noLine struct{}

func (noLine) Set(bool) error { return nil }

// Input waits until the guest has opened its console, and what nobody types
// until the guest has asked what is there, but not for ever.
func TestAwaitListener(t *testing.T) {
	const opens, asks = time.Minute, time.Second // asks: after it opened
	tests := []struct {
		name     string
		terminal bool
		asks     bool
		want     time.Duration
	}{
		{"a person's terminal", true, true, opens},
		{"a pipe", false, true, opens + asks},
		{"a pipe to a guest that never asks", false, false, opens + askTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Machine{
					config:       Config{Console: Console{Terminal: tt.terminal}},
					board:        &board{com1: serial.New("com1", noLine{}, io.Discard)},
					consoleAsked: make(chan struct{}, 1),
				}
				const mcr, rts = 4, 1 << 1
				time.AfterFunc(opens, func() { m.board.com1.WriteIO(mcr, []byte{rts}) })
				if tt.asks {
					time.AfterFunc(opens+asks, func() {
						m.consoleInfo()
						m.consoleInfo() // it asks register by register
					})
				}
				began := time.Now()
				if err := m.awaitListener(t.Context(), m.board.com1); err != nil || time.Since(began) != tt.want {
					t.Errorf("%v after %v, want nil after %v", err, time.Since(began), tt.want)
				}
				time.Sleep(asks) // for the timers' goroutines to end
			})
		})
	}
}
