package vmm_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"microvm/vmm"
)

// fill is what the guests of these tests use and then free. Of that, most is what
// the host must have back: a guest keeps some free pages apart in small pieces.
const (
	fill = 200 * vmm.MiB
	most = fill * 3 / 4
)

// Memory that a guest frees goes back to the host by itself.
func TestBalloonReporting(t *testing.T) {
	if inGuest() {
		useAndFree(t)
		fmt.Println("FREED")
		time.Sleep(guestTime) // the host's half ends it
		return
	}
	g := newGuestHalf(t)
	g.Memory = vmm.GiB // the root file system takes at most half of it
	g.Balloon = &vmm.Balloon{Reporting: true}
	g.runWhile(t, func(ctx context.Context, m *vmm.Machine, stop func()) {
		peak := g.awaitFreed(ctx, t)
		now := awaitResident(ctx, t, func(n uint64) bool { return n <= peak-most })
		t.Logf("%d MiB resident when the guest had freed its memory, %d MiB after its reports", peak/vmm.MiB, now/vmm.MiB)
		if n := property(t, m, "bytes released by reports"); n < most {
			t.Errorf("the guest has reported %d bytes", n)
		}
		stop()
	}).wants(t, vmm.EndStopped, 0)
}

// A guest gives memory to the host that asks for it, and gets it again.
func TestBalloonTarget(t *testing.T) {
	const target = 300 * vmm.MiB
	if inGuest() {
		useAndFree(t)
		before := available(t) // the host asks as soon as it is told
		fmt.Println("FREED")
		awaitAvailable(t, func(n uint64) bool { return n <= before-target*9/10 })
		fmt.Println("INFLATED")
		// What lies in lists of a processor's own is not counted as available.
		awaitAvailable(t, func(n uint64) bool { return n >= before-target/4 })
		return
	}
	g := newGuestHalf(t)
	g.Memory = vmm.GiB // the root file system takes at most half of it
	g.Balloon = &vmm.Balloon{DeflateOnOOM: true}
	g.runWhile(t, func(ctx context.Context, m *vmm.Machine, _ func()) {
		peak := g.awaitFreed(ctx, t)
		if err := m.SetBalloonTarget(target); err != nil {
			t.Fatal(err)
		}
		now := awaitResident(ctx, t, func(n uint64) bool { return n <= peak-most })
		t.Logf("%d MiB resident when the guest had freed its memory, %d MiB with the balloon inflated", peak/vmm.MiB, now/vmm.MiB)
		await(ctx, t, "the whole balloon", func() bool { return property(t, m, "balloon bytes") == target })
		await(ctx, t, "the guest to see it", func() bool { return strings.Contains(g.console.text(), "INFLATED") })
		if err := m.SetBalloonTarget(0); err != nil {
			t.Fatal(err)
		}
	}).wants(t, vmm.EndPoweredOff, 0)
}

// runWhile runs the guest to its end, and meanwhile do, which may stop it. Do's
// context is done when the guest has ended.
func (g *guest) runWhile(t *testing.T, do func(ctx context.Context, m *vmm.Machine, stop func())) *guest {
	t.Helper()
	m, err := vmm.New(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeoutCause(context.Background(), guestTime, errors.New("the test ran out of time"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer stop()
		g.outcome, g.err = m.Run(ctx)
	}()
	done := false
	defer func() {
		if !done { // do has failed
			stop()
		}
		<-ended
		if t.Failed() {
			t.Logf("the guest's console:\n%s", g.console.text())
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	do(ctx, m, stop)
	done = true
	return g
}

// useAndFree fills a file in memory and deletes it.
func useAndFree(t *testing.T) {
	t.Helper()
	const path = "/fill"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte{0xaa}, vmm.MiB)
	for range fill / len(chunk) {
		if _, err := f.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
		t.Fatal(err)
	}
}

// awaitFreed waits until the guest's half has used and freed memory, and returns
// the most bytes of this process that were resident until then.
func (g *guest) awaitFreed(ctx context.Context, t *testing.T) (peak uint64) {
	t.Helper()
	await(ctx, t, "the guest to use memory", func() bool {
		peak = max(peak, resident(t))
		return strings.Contains(g.console.text(), "FREED")
	})
	if peak < fill {
		t.Fatalf("%d MiB resident after the guest has used %d", peak/vmm.MiB, fill/vmm.MiB)
	}
	return peak
}

// await waits until is holds, and no longer than ctx lasts.
func await(ctx context.Context, t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// awaitResident waits until this process's resident memory is as wanted.
func awaitResident(ctx context.Context, t *testing.T, is func(bytes uint64) bool) (n uint64) {
	t.Helper()
	await(ctx, t, "memory to come back to the host", func() bool {
		n = resident(t)
		return is(n)
	})
	return n
}

// awaitAvailable waits until the memory that is available to the guest, in which
// this runs, is as wanted.
func awaitAvailable(t *testing.T, is func(bytes uint64) bool) {
	t.Helper()
	await(t.Context(), t, "the guest's memory to change", func() bool { return is(available(t)) })
}

// resident is the bytes of this process that are in memory.
func resident(t *testing.T) uint64 {
	t.Helper()
	return procField(t, "/proc/self/status", "VmRSS:")
}

// available is the memory that new programs could have.
func available(t *testing.T) uint64 {
	t.Helper()
	return procField(t, "/proc/meminfo", "MemAvailable:")
}

// procField reads a field in kB from a file in /proc, and returns bytes.
func procField(t *testing.T, path, name string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rest, found := strings.CutPrefix(lines.Text(), name)
		if !found {
			continue
		}
		var kib uint64
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			t.Fatal(err)
		}
		return kib * vmm.KiB
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

// property is what the machine's balloon says under a name, 0 if nothing.
func property(t *testing.T, m *vmm.Machine, name string) uint64 {
	t.Helper()
	for _, d := range m.Stats().Virtio {
		for _, p := range d.Device {
			if n, ok := p.Value.(uint64); ok && p.Name == name {
				return n
			}
		}
	}
	return 0
}
