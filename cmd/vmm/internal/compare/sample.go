package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Sample is one measured value, with all that is needed to know what it may be
// compared with. It is a line of the file of raw samples.
type Sample struct {
	Experiment string `json:"experiment"`
	Arm        string `json:"arm"`
	// Metric is what was measured, such as "time", "pss" or "system call".
	// Each experiment names its own, and their meaning.
	Metric string  `json:"metric"`
	Unit   Unit    `json:"unit"`
	Value  float64 `json:"value"`
	// From and To are the boundaries of a time, "" of anything else.
	From Boundary `json:"from,omitempty"`
	To   Boundary `json:"to,omitempty"`
	// Cache says whether the page cache was warm or cold, "" if that does not
	// matter.
	Cache Cache `json:"cache,omitempty"`
	// Instances is how many of the arm's payloads ran at the time, this one
	// included; 0 if that does not matter.
	Instances int `json:"instances,omitempty"`
	// Text is a value that is no number, such as what uname says; then Value
	// is 0.
	Text string `json:"text,omitempty"`

	Round int       `json:"round"` // of the experiment, from 0
	When  time.Time `json:"when"`
	// Host is the fingerprint's digest of the host that this was measured on.
	Host string `json:"host"`
	// Failed says why there is no value.
	Failed string `json:"failed,omitempty"`
}

// A Unit is what a value counts.
type Unit string

// The units.
const (
	Seconds        Unit = "s"
	Bytes          Unit = "B"
	PerSecond      Unit = "1/s" // operations a second
	BytesPerSecond Unit = "B/s"
	Count          Unit = "1"
)

// A Cache is the state of the host's page cache before a start.
type Cache string

// The states.
const (
	Warm Cache = "warm"
	Cold Cache = "cold"
)

// A Key is what two samples must have in common to be values of the same thing.
type Key struct {
	Experiment, Arm, Metric string
	Unit                    Unit
	From, To                Boundary
	Cache                   Cache
	Instances               int
	Host                    string
}

// Key returns the sample's.
func (s *Sample) Key() Key {
	return Key{s.Experiment, s.Arm, s.Metric, s.Unit, s.From, s.To, s.Cache, s.Instances, s.Host}
}

// Comparable returns nil if values with the keys a and b may be put into a ratio:
// all but the arm is the same. Otherwise it says what is not.
func Comparable(a, b Key) error {
	var errs []error
	differ := func(what string, x, y any) {
		if x != y {
			errs = append(errs, fmt.Errorf("%s and %s differ in %s: %v and %v", a.Arm, b.Arm, what, x, y))
		}
	}
	differ("experiment", a.Experiment, b.Experiment)
	differ("metric", a.Metric, b.Metric)
	differ("unit", a.Unit, b.Unit)
	differ("first boundary", a.From, b.From)
	differ("last boundary", a.To, b.To)
	differ("page cache", a.Cache, b.Cache)
	differ("instances", a.Instances, b.Instances)
	differ("host", a.Host, b.Host)
	return errors.Join(errs...)
}

// WriteSample writes s as a line.
func WriteSample(w io.Writer, s *Sample) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n')) // in one piece, so that a crash tears one line at most
	return err
}

// ReadSamples reads lines to the end of r. A last line without its end, which a
// crash leaves, is not a sample.
func ReadSamples(r io.Reader) ([]Sample, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return parseSamples(text)
}

func parseSamples(text []byte) ([]Sample, error) {
	var samples []Sample
	for number := 1; ; number++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return samples, nil
		}
		text = rest
		var s Sample
		if err := json.Unmarshal(line, &s); err != nil {
			return nil, fmt.Errorf("line %d: not a sample: %w", number, err)
		}
		samples = append(samples, s)
	}
}
