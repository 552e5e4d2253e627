package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestStreamIsByteClean(t *testing.T) {
	random := make([]byte, 1<<20+1)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	tests := []struct {
		name string
		data []byte
	}{
		{"empty", []byte{}},
		{"one byte", []byte{0}},
		{"exactly a chunk", random[:maxChunk]},
		{"one more than a chunk", random[:maxChunk+1]},
		{"a megabyte", random},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var line, got bytes.Buffer
			if err := SendStream(&line, bytes.NewReader(test.data)); err != nil {
				t.Fatal(err)
			}
			line.WriteString("rest")
			err := ReceiveStream(&got, iotest.HalfReader(&line), func() { t.Error("refused") })
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), test.data) {
				t.Errorf("%d bytes arrived, not the %d that were sent", got.Len(), len(test.data))
			}
			if rest := line.String(); rest != "rest" {
				t.Errorf("after the stream there is %q, want %q", rest, "rest")
			}
		})
	}
}

func TestReadErrorEndsTheStream(t *testing.T) {
	from := io.MultiReader(strings.NewReader("before"), iotest.ErrReader(errors.New("no more")))
	var line, got bytes.Buffer
	if err := SendStream(&line, from); err != nil {
		t.Fatal(err)
	}
	if err := ReceiveStream(&got, &line, nil); err != nil || got.String() != "before" {
		t.Errorf("received %q, %v; want %q", &got, err, "before")
	}
}

// A fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestReceiverThatRefusesReadsOn(t *testing.T) {
	var line bytes.Buffer
	if err := SendStream(&line, bytes.NewReader(make([]byte, 3*maxChunk))); err != nil {
		t.Fatal(err)
	}
	refusals := 0
	if err := ReceiveStream(fullDisk{}, &line, func() { refusals++ }); err != nil {
		t.Fatal(err)
	}
	if refusals != 1 || line.Len() != 0 {
		t.Errorf("%d refusals, %d bytes left; want 1 and 0", refusals, line.Len())
	}
}

func TestBrokenStream(t *testing.T) {
	tests := []struct {
		name, line string
		want       string
	}{
		{"nothing", "", "EOF"},
		{"half a header", "\x01\x00", "unexpected EOF"},
		{"header only", "\x01\x00\x00\x00", "EOF"},
		{"half a chunk", "\x02\x00\x00\x00a", "unexpected EOF"},
		{"no end", "\x01\x00\x00\x00a", "EOF"},
		{"chunk too long", "\x01\x80\x00\x00", "chunk of 32769 bytes"},
		{"longest length", "\xff\xff\xff\xff", "chunk of 4294967295 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := ReceiveStream(io.Discard, strings.NewReader(test.line), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestMessagesArrive(t *testing.T) {
	messages := []Message{
		{Kind: Run, Job: Job{
			Args: []string{"echo", "\xff not UTF-8"}, Env: []string{"A=\xfe"}, Dir: "/", UID: 1000, GID: 100,
			Groups: []uint32{4, 27}, Umask: 0o22, Limits: []Limit{{7, 1024, 1 << 20}},
			Shares: []Share{{"tag", "/path"}}, Hostname: "here", Time: time.Unix(1e9, 5),
			Terminal: true, Size: Size{24, 80},
		}},
		{Kind: Signal, Number: 15},
		{Kind: Closed, Stream: Stderr},
		{Kind: Exit, Status: 0},
		{Kind: Fail, Status: 125, Text: "why"},
	}
	var line bytes.Buffer
	sender, receiver := NewConn(&line), NewConn(&line)
	for _, m := range messages {
		if err := sender.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range messages {
		got, err := receiver.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if !got.Job.Time.Equal(want.Job.Time) {
			t.Errorf("time %v, want %v", got.Job.Time, want.Job.Time)
		}
		got.Job.Time = want.Job.Time
		if !reflect.DeepEqual(got, want) {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
	if _, err := receiver.Receive(); err != io.EOF {
		t.Errorf("after the last: %v, want EOF", err)
	}
}

func FuzzReceiveStream(f *testing.F) {
	f.Fuzz(func(t *testing.T, line []byte) {
		var got, again bytes.Buffer
		if ReceiveStream(&got, bytes.NewReader(line), nil) != nil {
			return
		}
		// What was received is what would be sent.
		if err := SendStream(&again, bytes.NewReader(got.Bytes())); err != nil {
			t.Fatal(err)
		}
		var second bytes.Buffer
		if err := ReceiveStream(&second, &again, nil); err != nil || !bytes.Equal(second.Bytes(), got.Bytes()) {
			t.Errorf("%q became %q, %v", got.Bytes(), second.Bytes(), err)
		}
	})
}
