package terminal

import (
	"bytes"
	"io"
	"sync"
)

// A Messages writes the monitor's own messages to a terminal that may be raw,
// where a new line does not begin at the left by itself.
type Messages struct {
	mu  sync.Mutex
	w   io.Writer // guarded by mu
	raw bool      // guarded by mu
}

// NewMessages returns a Messages that writes to w, which is not raw.
func NewMessages(w io.Writer) *Messages { return &Messages{w: w} }

// SetRaw says whether w is a terminal in raw mode.
func (m *Messages) SetRaw(raw bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raw = raw
}

// Write implements io.Writer. Lines of several goroutines do not mix.
func (m *Messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.raw {
		return m.w.Write(p)
	}
	if _, err := m.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
