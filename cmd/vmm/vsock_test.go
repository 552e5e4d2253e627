package main

import (
	"strings"
	"testing"
)

func TestVsockMistakes(t *testing.T) {
	for value, want := range map[string]string{
		"cid=2,path=s":          "--vsock: context ID 2 is reserved; a guest's is from 3 to 4294967294",
		"cid=4294967295,path=s": "context ID 4294967295 is reserved",
		"cid=4294967296,path=s": "must be a number from 3 to 4294967294",
		"cid=three,path=s":      "cid=three: must be a number from 3",
		"cid=3":                 "must be cid=NUMBER,path=FILE",
		"path=s":                "must be cid=NUMBER,path=FILE",
		"cid=3,path=":           "path is empty",
		"cid=3,path=@s":         "write ./@s",
		"cid=3,pat=s":           "did you mean path?",
		"cid=3,path=/" + strings.Repeat("x", 200): "has 201 bytes; a socket's path that leaves room for \"_PORT\" has at most 96",
	} {
		got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--vsock", value))
		if got.status != 2 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: status %d, %s; want %q", value, got.status, got.stderr, want)
		}
	}
	got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--vsock", "cid=3,path=a", "--vsock", "cid=4,path=b"))
	wants(t, "standard error", got.stderr, "there is one already")
}
