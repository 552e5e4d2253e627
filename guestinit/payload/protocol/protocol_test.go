package protocol

import (
	"reflect"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		line Line
		text string
	}{
		{&Mark{Payload, 81234567890123}, "MARK payload 81234567890123\n"},
		{&Mark{PayloadEnd, 0}, "MARK payload-end 0\n"},
		{&Result{"system-call", PerSecond, 7654321.5}, "RESULT system-call 1/s 7.6543215e+06\n"},
		{&Result{"pss", Bytes, 4096}, "RESULT pss B 4096\n"},
		{&Text{"release", "Linux 6.1"}, "TEXT release Linux 6.1\n"},
		{&Text{"capabilities", ""}, "TEXT capabilities\n"},
	} {
		if got := string(tt.line.Append(nil)); got != tt.text {
			t.Errorf("%+v is written as %q, want %q", tt.line, got, tt.text)
		}
		console := strings.TrimSuffix(tt.text, "\n") + "\r\n"
		for _, text := range []string{tt.text, strings.TrimSpace(tt.text), console} {
			if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, tt.line) {
				t.Errorf("Parse(%q) = %+v, %v, want %+v", text, got, err, tt.line)
			}
		}
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "\n", "MARKER payload 1", "a MARK payload 1", "RESULTS", "[    0.1] RESULT a s 1"} {
		if got, err := Parse(text); got != nil || err != nil {
			t.Errorf("Parse(%q) = %+v, %v, want none of ours", text, got, err)
		}
	}
	for _, text := range []string{
		"MARK ", "MARK payload", "MARK payload now", "MARK payload 1 2", "MARK payload 1.5", "MARK payload 99999999999999999999",
		"RESULT a s", "RESULT a s many", "RESULT a s 1 2", "RESULT a s NaN", "RESULT a s +Inf", "TEXT ", "TEXT \n",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), "want ") {
			t.Errorf("Parse(%q) = %+v, %v, want an error that says what would be right", text, got, err)
		}
	}
}

// What is read is what is written again, but for how numbers and spaces are.
func FuzzParse(f *testing.F) {
	f.Add("MARK payload 1")
	f.Add("RESULT a s 1e3")
	f.Add("TEXT a b  c\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		line, err := Parse(text)
		if line == nil || err != nil {
			return
		}
		written := line.Append(nil)
		again, err := Parse(string(written))
		if err != nil || !reflect.DeepEqual(again, line) {
			t.Errorf("Parse(%q) = %+v, which is written as %q and read as %+v, %v", text, line, written, again, err)
		}
	})
}
