package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bashCompletes returns what bash offers after the given words, of which the
// last may be the beginning of one, in the directory dir.
func bashCompletes(t *testing.T, dir, script string, words ...string) []string {
	t.Helper()
	script += `
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_vmm
printf '%s\n' "${COMPREPLY[@]}"
`
	cmd := exec.Command("bash", append([]string{"-c", script, "bash"}, words...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.TrimSpace(string(out)); text != "" {
		return strings.Split(text, "\n")
	}
	return nil
}

func TestBashCompletion(t *testing.T) {
	script := run(t, program(t, "", "completion", "bash")).stdout
	dir := t.TempDir()
	for _, name := range []string{"completion_test.go", "my kernel * 1", "my kernel 2"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blanks := []string{"my kernel * 1", "my kernel 2"}
	for _, tt := range []struct {
		words []string
		want  []string
	}{
		{[]string{"vmm", ""}, commandNames()},
		{[]string{"vmm", "bo"}, []string{"boot"}},
		{[]string{"vmm", "boot", "--mem"}, []string{"--memory"}},
		{[]string{"vmm", "boot", "--cpus", "2", "--kernel-"}, []string{"--kernel-entry"}},
		{[]string{"vmm", "boot", "--kernel-entry", ""}, []string{"auto", "elf", "pvh", "linux64", "linux32"}},
		{[]string{"vmm", "boot", "--kernel-entry", "l"}, []string{"linux64", "linux32"}},
		{[]string{"vmm", "boot", "--stats", "=", ""}, []string{"table", "json"}},
		{[]string{"vmm", "boot", "--stats", "="}, []string{"table", "json"}},
		{[]string{"vmm", "boot", "--stats", "=", "j"}, []string{"json"}},
		{[]string{"vmm", "boot", "--kernel", "completion_"}, []string{"completion_test.go"}},
		{[]string{"vmm", "boot", "--kernel", "=", "completion_"}, []string{"completion_test.go"}},
		{[]string{"vmm", "boot", "--kernel", "my"}, blanks},
		{[]string{"vmm", "inspect", "my"}, blanks},
		{[]string{"vmm", "initrd", "build", "--modules-dir", "my"}, blanks},
		{[]string{"vmm", "initrd", "build", "--file", "completion_"}, []string{"completion_test.go"}},
		{[]string{"vmm", "boot", "--memory", ""}, nil},
		{[]string{"vmm", "boot", "--memory", "=", ""}, nil},
		{[]string{"vmm", "boot", "--stats", "--memo"}, []string{"--memory"}},
		{[]string{"vmm", "boot", "--stats", "j"}, nil}, // its value needs the equals sign
		{[]string{"vmm", "inspect", "completion_"}, []string{"completion_test.go"}},
		{[]string{"vmm", "cache", "c"}, []string{"clear"}},
		{[]string{"vmm", "help", "do"}, []string{"doctor"}},
		{[]string{"vmm", "completion", ""}, []string{"bash", "zsh", "fish", "--help"}},
		{[]string{"vmm", "frobnicate", ""}, nil},
	} {
		got := bashCompletes(t, dir, script, tt.words...)
		if strings.HasPrefix(tt.words[len(tt.words)-1], "my") {
			slices.Sort(got) // files come in the directory's order
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.words, got, tt.want)
		}
	}
}

func TestCompletionsName(t *testing.T) {
	for _, shell := range shellNames {
		script := run(t, program(t, "", "completion", shell)).stdout
		for _, c := range completions() {
			wants(t, shell, script, c.name)
			for _, f := range c.flags {
				wants(t, shell, script, f.name)
			}
		}
	}
}
