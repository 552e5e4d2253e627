package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microvm/boot"
	"microvm/kvm/guestmem"
	"microvm/vmm"
)

// bzImage is a kernel image that passes as one at first sight, with the given
// bytes changed: offsets are those of the setup header (x86-boot).
func bzImage(changes map[int]byte) []byte {
	b := make([]byte, 64<<10)
	b[0x1f1] = 4                            // setup_sects
	copy(b[0x1fe:], "\x55\xaa")             // boot_flag
	copy(b[0x200:], "\xeb\x66HdrS\x0f\x02") // jump, header, version 2.15
	b[0x211] = 1                            // loadflags: LOADED_HIGH
	b[0x236] = 1                            // xloadflags: XLF_KERNEL_64
	binary.LittleEndian.PutUint32(b[0x1f4:], (64<<10-5*512)/16)
	for offset, c := range changes {
		b[offset] = c
	}
	return b
}

// wrongKernels are files that are no kernel for this machine, and what must be
// said of each.
func wrongKernels(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	arm64 := make([]byte, 4096)
	copy(arm64[56:], "ARM\x64") // Linux' Documentation/arch/arm64/booting.rst
	wrong := map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "directory",
	}
	for name, file := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":       {nil, "empty"},
		"text":        {[]byte("#!/bin/sh\necho a script, not a kernel\n"), ""},
		"noise":       {bytes.Repeat([]byte{0xa5, 0x17}, 4096), ""},
		"arm64":       {arm64, "arm64"},
		"cut off":     {bzImage(nil)[:0x180], ""},
		"cut in half": {bzImage(nil)[:0x230], ""},
		"old":         {bzImage(map[int]byte{0x206: 0x05}), "2.05"},
		"cut ELF":     {[]byte("\x7fELF\x02\x01\x01"), "ELF"},
		"gzip":        {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), ""},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, file.content, 0o600); err != nil {
			t.Fatal(err)
		}
		wrong[path] = file.want
	}
	return wrong
}

func TestWrongKernels(t *testing.T) {
	for path, want := range wrongKernels(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"inspect", path}, {"inspect", "--json", path}, {"boot", "--kernel", path}} {
				cmd := program(t, "", args...)
				got := run(t, cmd)
				if got.status != vmm.StatusFailure || got.stdout != "" {
					t.Errorf("%v: status %d, standard output %q; want %d and nothing", args, got.status, got.stdout, vmm.StatusFailure)
				}
				wants(t, "standard error", got.stderr, "vmm "+args[0]+": ", filepath.Base(path), want)
				if strings.Count(got.stderr, "\n") != 1 {
					t.Errorf("%v: not one line: %q", args, got.stderr)
				}
			}
		})
	}
}

// Of a kernel that is damaged inside, inspect tells what it can, and then fails
// as boot does.
func TestInspectOfADamagedKernel(t *testing.T) {
	image := bzImage(map[int]byte{
		0x232: 0x20, // kernel_alignment: 2 MiB
		0x24d: 0x01, // payload_length: 256, of no known compression
		0x25a: 0x40, // pref_address: 4 MiB
		0x262: 0x20, // init_size: 2 MiB
	})
	path := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := boot.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	_, err = boot.Load(guestmem.NewHeap(guestmem.Range{Size: 8 << 20}), boot.Config{Kernel: k})
	if err == nil {
		t.Fatal("boot.Load takes it")
	}
	for what, args := range map[string][]string{
		"payload        cannot be used": {"inspect", path}, `"elf_problem"`: {"inspect", "--json", path}, "": {"inspect", "--config", path},
	} {
		got := run(t, program(t, "", args...))
		if got.status != vmm.StatusFailure || got.stderr != "vmm inspect: "+err.Error()+"\n" {
			t.Errorf("%q: status %d, %q; want %d and %q", args, got.status, got.stderr, vmm.StatusFailure, err)
		}
		wants(t, "inspect", got.stdout, what)
	}
}

func TestInfoText(t *testing.T) {
	text := infoText(&boot.Info{
		Path: "k", Size: 9 << 20, Format: "bzImage", Arch: "x86-64",
		BzImage: &boot.BzImageInfo{Protocol: "2.15", Compression: "lz4", PayloadSize: 8 << 20, UncompressedSize: 40 << 20, Checksum: "good",
			Relocatable: true, Alignment: 2 << 20, PrefAddress: 0x1000000},
		ELF:     &boot.ELFInfo{Bits: 64, Entry: 0x1000000, PVHEntry: 0x1000850, Segments: []boot.SegmentInfo{{Physical: 0x1000000, MemSize: 24 << 20, Flags: "RX"}}},
		Entries: []boot.Entry{boot.EntryELF, boot.EntryLinux64}, Auto: boot.EntryELF, MemoryNeeded: 62 << 20,
		Config: "# a comment\nCONFIG_ACPI=y\nCONFIG_VIRTIO_MMIO=m\n# CONFIG_PVH is not set\n",
	})
	wants(t, "inspect", text, "lz4, 8.0 MiB, 40 MiB decompressed", "relocatable by 2M", "PVH entry 0x1000850", "elf (taken by auto), linux64",
		"more than 62 MiB", "version        unknown", "2 options", "a module", "built in")
	text = infoText(&boot.Info{BzImage: &boot.BzImageInfo{Compression: "lz4", PayloadSize: 8 << 20}, ELFProblem: "it is damaged"})
	wants(t, "inspect of a damaged payload", text, "lz4, 8.0 MiB\n", "cannot be used: it is damaged", "none")
}

func TestCacheCommand(t *testing.T) {
	empty := t.TempDir()
	if got := run(t, program(t, "", "cache", "--cache-dir", empty)); got != (result{empty + ": no kernels\n", "", 0}) {
		t.Errorf("an empty cache: %+v", got)
	}
	if got := run(t, program(t, "", "cache", "verify", "--json", "--cache-dir", filepath.Join(empty, "none"))); got != (result{"[]\n", "", 0}) {
		t.Errorf("a cache that is not there: %+v", got)
	}

	kernels := filepath.Join(empty, "kernels")
	if err := os.Mkdir(kernels, 0o700); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(kernels, strings.Repeat("ab", 32)+".elf")
	if err := os.WriteFile(damaged, []byte("no kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := run(t, program(t, "", "cache", "list", "--json", "--cache-dir", empty))
	var entries []boot.CacheEntry
	if err := json.Unmarshal([]byte(list.stdout), &entries); err != nil || len(entries) != 1 || entries[0].Damage == "" || list.status != 0 {
		t.Errorf("list: %v, %+v", err, list)
	}
	verify := run(t, program(t, "", "cache", "verify", "--cache-dir", empty))
	if verify.status != vmm.StatusFailure {
		t.Errorf("verify: status %d, want %d", verify.status, vmm.StatusFailure)
	}
	wants(t, "verify", verify.stdout, "abababababab", "1 kernels, 9 bytes")
	wants(t, "verify", verify.stderr, "1 of 1 kernels are damaged")
	if got := run(t, program(t, "", "cache", "clear", "--cache-dir", empty)); got != (result{empty + ": 1 kernels removed, 9 bytes\n", "", 0}) {
		t.Errorf("clear: %+v", got)
	}
	if _, err := os.Stat(damaged); !os.IsNotExist(err) {
		t.Errorf("clear left %s (%v)", damaged, err)
	}
}

func TestWrongCaches(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "not a directory", open: "written to by others", filepath.Join(file, "in"): "not a directory"} {
		for _, action := range cacheActions {
			got := run(t, program(t, "", "cache", action, "--cache-dir", path))
			if got.status != vmm.StatusFailure || got.stdout != "" {
				t.Errorf("%s of %s: %+v", action, path, got)
			}
			wants(t, "standard error", got.stderr, "vmm cache: ", path, want)
		}
	}
	cmd := program(t, "", "cache")
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME=", "HOME=")
	got := run(t, cmd)
	if got.status != vmm.StatusFailure {
		t.Errorf("no home: %+v", got)
	}
	wants(t, "standard error", got.stderr, "XDG_CACHE_HOME")
	cmd = program(t, "", "cache", "bogus")
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME=", "HOME=")
	if got := run(t, cmd); got.status != vmm.StatusUsage {
		t.Errorf("no home and no such action: %+v", got)
	}
}

func TestDoctorAdvises(t *testing.T) {
	found := examine()
	if found.OK != (len(found.Advice) == 0) {
		t.Errorf("OK %t with advice %q", found.OK, found.Advice)
	}
	text := found.text()
	wants(t, "doctor", text, "processor", "/dev/kvm", "A stock kernel")
	got := run(t, program(t, "", "doctor", "--json"))
	var again findings
	if err := json.Unmarshal([]byte(got.stdout), &again); err != nil || (got.status == 0) != again.OK {
		t.Errorf("doctor --json: %v, status %d, OK %t", err, got.status, again.OK)
	}
}
