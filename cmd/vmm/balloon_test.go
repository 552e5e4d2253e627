package main

import (
	"strings"
	"testing"
)

func TestBalloonMistakes(t *testing.T) {
	for value, want := range map[string]string{
		"1G":                         "--balloon: a target of 1073741824 bytes; must be less than the guest's memory, which is 536870912",
		"100":                        "a target of 100 bytes is not a whole number of 4 KiB pages",
		"target=64MB":                "write 64MiB",
		"64M,reporting=of":           "reporting=of: must be one of on, off",
		"64M,deflate-on-oom=maybe":   "deflate-on-oom=maybe: must be one of on, off",
		"reporting=on,reporting=off": "reporting is given twice",
		"report=on":                  "did you mean reporting?",
		"":                           "there is an empty option",
	} {
		got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--balloon", value))
		if got.status != 2 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: status %d, %s; want %q", value, got.status, got.stderr, want)
		}
	}
	got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--balloon", "1M", "--balloon", "2M"))
	wants(t, "standard error", got.stderr, "a machine has one balloon")
}

func TestBalloonOptions(t *testing.T) {
	for _, value := range []string{"0", "64M", "target=64M", "reporting", "64M,reporting=off,deflate-on-oom=off"} {
		if got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--balloon", value)); got.status != 0 {
			t.Errorf("%s: status %d, %s", value, got.status, got.stderr)
		}
	}
}
