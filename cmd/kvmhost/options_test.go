package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestParseOptions(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		args string
		want options
	}{
		{"as go test does", "/tmp/pkg.test -test.v -test.run=X", options{
			cpus: 1, memoryMiB: 4096, command: []string{"/tmp/pkg.test", "-test.v", "-test.run=X"}}},
		{"with --", "-- -odd --cpus", options{cpus: 1, memoryMiB: 4096, command: []string{"-odd", "--cpus"}}},
		{"a size as vmm takes it", "--memory 4gi sh", options{cpus: 1, memoryMiB: 4096, command: []string{"sh"}}},
		{"flags", "--cpus 4 --memory 512M --share " + dir + " --kernel k --modules m --kernel-log l -v --force-emulated sh -c true",
			options{cpus: 4, memoryMiB: 512, shares: []string{dir}, kernel: "k", modules: "m", kernelLog: "l",
				verbose: true, emulated: true, command: []string{"sh", "-c", "true"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseOptions(strings.Fields(test.args), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, test.want) {
				t.Errorf("got %+v, want %+v", *got, test.want)
			}
		})
	}
}

func TestWrongOptions(t *testing.T) {
	tests := []struct {
		args string
		want []string // all of them are reported at once
	}{
		{"", []string{"no COMMAND"}},
		{"--no-such-flag sh", []string{"unknown flag"}},
		{"--cpus 0 --memory 1K", []string{"--cpus 0", "--memory 1K", "no COMMAND"}},
		{"--cpus 256 sh", []string{"from 1 to 255"}},
		{"--memory 64M sh", []string{"at least 512M"}},
		{"--memory 99999999999999999999G sh", []string{"larger than any"}},
		{"--memory 2147483647G sh", []string{"larger than any"}},
		{"--memory -1G sh", []string{"cannot be negative"}},
		{"--direct --force-emulated sh", []string{"exclude each other"}},
		{"--modules /lib sh", []string{"goes with --kernel"}},
		{"--share /no/such sh", []string{"--share /no/such", "no such file"}},
		{"--share /etc/passwd sh", []string{"not a directory"}},
		{"--share / --share /proc/self sh", []string{"--share /:", "--share /proc/self:"}},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			_, err := parseOptions(strings.Fields(test.args), nil)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := parseOptions([]string{"--help"}, &help); !errors.Is(err, errHelp) {
		t.Fatalf("error %v, want %v", err, errHelp)
	}
	for _, flag := range []string{"cpus", "memory", "share", "kernel", "modules", "kernel-log", "force-emulated", "direct", "verbose"} {
		if !strings.Contains(help.String(), "--"+flag) {
			t.Errorf("help does not name --%s", flag)
		}
	}
	if strings.Contains(help.String(), pflag.ErrHelp.Error()) {
		t.Error("help has pflag's own complaint in it")
	}
}

func TestProject(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"checkout/.git", "checkout/module/go.mod", "checkout/module/pkg/x", "module/go.mod", "module/pkg/x", "plain/x"} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]string{
		"checkout": "checkout", "checkout/module/pkg": "checkout", "module/pkg": "module", "plain": "plain",
	} {
		if got := project(filepath.Join(root, dir)); got != filepath.Join(root, want) {
			t.Errorf("project(%s) = %s, want %s", dir, got, want)
		}
	}
}

func TestSharesFor(t *testing.T) {
	tests := []struct {
		dir  string
		more []string
		want []string
	}{
		{"/nonexistent/work", nil, []string{"/nonexistent/work"}},
		{"/", nil, nil},
		{"/proc/self", nil, nil},
		{"/dev/shm/x", nil, []string{"/dev/shm/x"}},
		{"/nonexistent/a/b", []string{"/nonexistent/a", "/nonexistent/ab", "/nonexistent/a"}, []string{"/nonexistent/a", "/nonexistent/ab"}},
	}
	for _, test := range tests {
		tags := map[string]bool{}
		var got []string
		for _, s := range sharesFor(test.dir, test.more) {
			got = append(got, s.Path)
			if tags[s.Tag] || len(s.Tag) > 31 {
				t.Errorf("mount tag %q is not unique or too long", s.Tag)
			}
			tags[s.Tag] = true
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("sharesFor(%s, %q) = %q, want %q", test.dir, test.more, got, test.want)
		}
	}
}

func TestKVMModule(t *testing.T) {
	tests := []struct{ name, cpuinfo, want string }{
		{"Intel", "processor\t: 0\nflags\t\t: fpu vme vmx sse\n", "kvm_intel"},
		{"AMD", "flags\t\t: fpu svm\n", "kvm_amd"},
		{"neither", "flags\t\t: fpu vme hypervisor\nvmx flags\t: x\n", ""},
		{"part of a word", "flags\t\t: avmx svme svm_lock\n", ""},
		{"in the name", "model name\t: svm vmx\nflags\t\t: fpu\n", ""},
		{"empty", "", ""},
	}
	for _, test := range tests {
		if got := kvmModule(strings.NewReader(test.cpuinfo)); got != test.want {
			t.Errorf("%s: module %q, want %q", test.name, got, test.want)
		}
	}
}
