package vmm_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// asMonitor, in the environment, tells the test binary to be the monitor of
// TestKilled, and in which directory the disks are.
const asMonitor = "MICROVM_TEST_KILLED"

// killedDisks are the disks of TestKilled, which are files of these names.
var killedDisks = []struct {
	name string
	disk.Options
}{
	{"io_uring", disk.Options{Engine: disk.EngineRing}},
	{"pool", disk.Options{Engine: disk.EnginePool}},
	{"qcow2", disk.Options{Format: disk.FormatQCOW2}},
}

// What a guest was told is on a disk is there when its monitor is killed, in the
// middle of further writes.
func TestKilled(t *testing.T) {
	const size, durable = 64 * vmm.MiB, 8 * vmm.MiB
	const message = "everything is durable"
	if inGuest() {
		for i := range killedDisks {
			writeNoise(t, device(i), durable)
		}
		fmt.Println(message)
		for {
			for i := range killedDisks {
				writeAfter(t, device(i), durable, size)
			}
		}
	}
	if dir := os.Getenv(asMonitor); dir != "" {
		g := newGuestHalf(t)
		g.Console.Out = stdout{}
		for _, d := range killedDisks {
			d.Path = filepath.Join(dir, d.name)
			g.Disks = append(g.Disks, vmm.Disk{Options: d.Options})
		}
		g.run(t)
		t.Fatalf("the guest has ended %v, %v", g.outcome, g.err)
	}

	needRealKVM(t)
	dir := t.TempDir()
	for _, d := range killedDisks {
		host(t, "qemu-img", "create", "-q", "-f", format(d.Options), filepath.Join(dir, d.name), fmt.Sprint(size))
	}
	killAt(t, message, asMonitor+"="+dir, "TMPDIR="+dir)
	want := noise(durable)
	for _, d := range killedDisks {
		image, contents := filepath.Join(dir, d.name), filepath.Join(dir, d.name+".contents")
		host(t, "qemu-img", "convert", "-f", format(d.Options), "-O", "raw", image, contents)
		got, err := os.ReadFile(contents)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(got, want) {
			t.Errorf("%s: what was durable is not there", d.name)
		}
	}
}

// format is the format of a disk's image, in the words of qemu-img.
func format(o disk.Options) string {
	if o.Format == disk.FormatAuto {
		return string(disk.FormatRaw)
	}
	return string(o.Format)
}

// killAt runs the test t in a process of its own, with more in its environment,
// and kills it (SIGKILL) when it writes the message.
func killAt(t *testing.T, message string, env ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	monitor := exec.Command(self, "-test.v", "-test.run=^"+t.Name()+"$")
	monitor.Env = append(os.Environ(), env...)
	out, err := monitor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	reached := false
	for lines := bufio.NewScanner(out); !reached && lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		reached = strings.Contains(lines.Text(), message)
	}
	if err := monitor.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = monitor.Wait() // killed
	if !reached {
		t.Fatalf("the monitor ended before:\n%s", &said)
	}
}

// stdout is a console whose output is the process's.
type stdout struct{}

func (stdout) Write(_ context.Context, p []byte) (int, error) { return os.Stdout.Write(p) }

// writeAfter writes other bytes to a disk from an offset to its end.
func writeAfter(t *testing.T, path string, offset, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(size-offset)), offset); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
