package arm

import (
	"fmt"
	"strings"
	"sync"
	"unicode"
)

// maxOutput bounds what is kept of an instance's output: the console of a guest
// that starts has some 30 KiB, the results of a payload a few.
const maxOutput = 1 << 20

// An output is what an instance has printed, standard output, standard error
// and console text as they came.
type output struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

// Write keeps p, as far as it fits.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(p), maxOutput-len(o.text))
	o.text = append(o.text, p[:n]...)
	if n < len(p) {
		return n, fmt.Errorf("it prints more than %d KiB", maxOutput>>10)
	}
	return n, nil
}

// String returns all of it.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// maxQuote is how much of the end of an output an error quotes, in bytes: what a
// program says last is why it fails.
const maxQuote = 500

// quote returns the end of text, fit for a terminal.
func quote(text string) string {
	text = text[max(0, len(text)-maxQuote):]
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, text))
}
