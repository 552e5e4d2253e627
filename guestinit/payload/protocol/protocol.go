// Package protocol is what a payload tells whoever started it, in lines of its
// standard output:
//
//	MARK payload 81234567890123         a boundary, and when it was passed
//	RESULT system-call 1/s 7654321.5    a measured value, its unit before it
//	TEXT release 6.1.0-42-cloud-amd64   what is no number
//
// Other lines are the payload's own, or the console's.
package protocol

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// The words that lines begin with.
const (
	MarkPrefix   = "MARK "
	ResultPrefix = "RESULT "
	TextPrefix   = "TEXT "
)

// The boundaries that a payload passes.
const (
	Payload    = "payload"     // its first instructions
	PayloadEnd = "payload-end" // its last
)

// The units of results.
const (
	Seconds        = "s"
	Bytes          = "B"
	PerSecond      = "1/s"
	BytesPerSecond = "B/s"
	Count          = "1"
)

// A Line is a *Mark, a *Result or a *Text.
type Line interface {
	// Append appends the line to b, with its end.
	Append(b []byte) []byte
}

// A Mark says when a boundary was passed.
type Mark struct {
	Boundary string // one word
	At       int64  // CLOCK_MONOTONIC in nanoseconds
}

// A Result is a measured value.
type Result struct {
	Metric string // one word
	Unit   string // one word
	Value  float64
}

// A Text is a value that is no number.
type Text struct {
	Metric string // one word
	Text   string // words with one space between them, perhaps none
}

// Append implements Line.
func (m *Mark) Append(b []byte) []byte {
	b = append(append(b, MarkPrefix...), m.Boundary...)
	b = strconv.AppendInt(append(b, ' '), m.At, 10)
	return append(b, '\n')
}

// Append implements Line.
func (r *Result) Append(b []byte) []byte {
	b = append(append(b, ResultPrefix...), r.Metric...)
	b = append(append(b, ' '), r.Unit...)
	b = strconv.AppendFloat(append(b, ' '), r.Value, 'g', -1, 64)
	return append(b, '\n')
}

// Append implements Line.
func (t *Text) Append(b []byte) []byte {
	b = append(append(b, TextPrefix...), t.Metric...)
	for word := range strings.FieldsSeq(t.Text) {
		b = append(append(b, ' '), word...)
	}
	return append(b, '\n')
}

// Parse reads a line, with or without its end, which a console may have made
// "\r\n". It returns nil for a line that is none of ours, and an error for one
// that begins as one of ours and goes on otherwise.
func Parse(line string) (Line, error) {
	words := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, MarkPrefix):
		return parseMark(words[1:])
	case strings.HasPrefix(line, ResultPrefix):
		return parseResult(words[1:])
	case strings.HasPrefix(line, TextPrefix):
		return parseText(words[1:])
	}
	return nil, nil
}

func parseMark(words []string) (Line, error) {
	if len(words) != 2 {
		return nil, malformed(MarkPrefix, "BOUNDARY NANOSECONDS", words)
	}
	at, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return nil, malformed(MarkPrefix, "BOUNDARY NANOSECONDS", words)
	}
	return &Mark{words[0], at}, nil
}

func parseResult(words []string) (Line, error) {
	if len(words) != 3 {
		return nil, malformed(ResultPrefix, "METRIC UNIT VALUE", words)
	}
	value, err := strconv.ParseFloat(words[2], 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return nil, malformed(ResultPrefix, "METRIC UNIT VALUE", words)
	}
	return &Result{words[0], words[1], value}, nil
}

func parseText(words []string) (Line, error) {
	if len(words) == 0 {
		return nil, malformed(TextPrefix, "METRIC WORDS", words)
	}
	return &Text{words[0], strings.Join(words[1:], " ")}, nil
}

func malformed(prefix, want string, words []string) error {
	return errors.New("the payload says " + strconv.Quote(prefix+strings.Join(words, " ")) + ", want " + prefix + want)
}
