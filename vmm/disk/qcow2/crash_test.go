package qcow2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// TestKill kills a process that writes an image, again and again, at any
// moment. What it had flushed is there afterwards, and the image has no errors
// but clusters that are counted and not used.
//
// The process writes slots of a disk, by a script that the test has too: the
// words of a slot are the number of the step that wrote it last.

const (
	crashImage = "MICROVM_QCOW2_CRASH_IMAGE" // set in the process that is killed
	crashSlot  = 1000                        // bytes, so that slots lie across clusters
	crashSlots = 3072
	crashSteps = 30_000
	crashFlush = 50 // steps between flushes
)

// A crashStep is what a step does: it writes value to each word of slot, or
// zeroes it if that is 0.
type crashStep struct {
	slot  int
	value uint64
}

func crashScript() []crashStep {
	r := rand.New(rand.NewPCG(1, 2))
	steps := make([]crashStep, crashSteps)
	for n := range steps {
		steps[n] = crashStep{r.IntN(crashSlots), uint64(n)}
		if r.IntN(4) == 0 {
			steps[n].value = 0
		}
	}
	return steps
}

func TestMain(m *testing.M) {
	if path := os.Getenv(crashImage); path != "" {
		if err := crashChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashChild does the script and says after which steps it flushed.
func crashChild(path string) error {
	i, err := Open(path, Options{Writable: true})
	if err != nil {
		return err
	}
	for n, step := range crashScript() {
		off := int64(step.slot) * crashSlot
		if step.value == 0 {
			// What is around the slot is of other slots: no wider.
			err = i.WriteZeroes(off, crashSlot)
		} else {
			word := binary.BigEndian.AppendUint64(nil, step.value)
			_, err = i.WriteAt(bytes.Repeat(word, crashSlot/8), off)
		}
		if err == nil && n%crashFlush == crashFlush-1 {
			err = i.Flush()
			fmt.Println(n)
		}
		if err != nil {
			return err
		}
	}
	return i.Close()
}

func TestKill(t *testing.T) {
	for n, options := range []string{"cluster_size=512", "cluster_size=64k", "cluster_size=512,refcount_bits=1,compat=1.1", "cluster_size=4k"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			for kill := range 3 {
				image := convert(t, make([]byte, crashSlot*crashSlots), "-o", options)
				flushed := killWriter(t, image, 1+kill*20+n)
				checkLeaksOnly(t, image)
				checkFlushed(t, image, flushed)

				want := contents(1, crashSlot*crashSlots)
				i := openWritable(t, image)
				if _, err := i.WriteAt(want, 0); err != nil {
					t.Error(err)
				}
				closeImage(t, i)
				checkLeaksOnly(t, image)
				equal(t, qemuReads(t, image), want)
			}
		})
	}
}

// killWriter runs crashChild, kills it some time after so many flushes, and
// returns the step after which it flushed last.
func killWriter(t *testing.T, image string, flushes int) (last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashImage+"="+image)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if n == flushes {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended before it was killed")
	}
	return last
}

// checkLeaksOnly has QEMU check the image: it exits with 3 if there is nothing
// but leaked clusters.
func checkLeaksOnly(t *testing.T, image string) {
	t.Helper()
	out, err := exec.Command("qemu-img", "check", image).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		t.Fatalf("qemu-img check: %v\n%s", err, out)
	}
}

// checkFlushed reads all slots: each word is of the slot's last step up to the
// flush, or of a later one.
func checkFlushed(t *testing.T, image string, flushed int) {
	t.Helper()
	disk := make([]byte, crashSlot*crashSlots)
	if _, err := mustOpen(t, image).ReadAt(disk, 0); err != nil {
		t.Fatal(err)
	}
	mayBe := make([]map[uint64]bool, crashSlots)
	for slot := range mayBe {
		mayBe[slot] = map[uint64]bool{0: true} // as it was at first
	}
	for n, step := range crashScript() {
		if n <= flushed {
			mayBe[step.slot] = map[uint64]bool{}
		}
		mayBe[step.slot][step.value] = true
	}
	for slot := range crashSlots {
		for at := slot * crashSlot; at < (slot+1)*crashSlot; at += 8 {
			if value := binary.BigEndian.Uint64(disk[at:]); !mayBe[slot][value] {
				t.Fatalf("slot %d has %d at %d after the flush at %d; it may have %v", slot, value, at, flushed, mayBe[slot])
			}
		}
	}
}
