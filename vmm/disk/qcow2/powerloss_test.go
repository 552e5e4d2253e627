package qcow2

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// A medium is a storage whose writes reach the medium at the next sync, and
// before it in any order or not at all. It has the writes that are under way.
type medium struct {
	storage
	durable []byte // the file as of the last sync
	pending []pendingWrite
	lose    func() // called before each sync
}

type pendingWrite struct {
	off  int64
	data []byte
}

func (m *medium) WriteVector(bufs [][]byte, off int64) error {
	m.pending = append(m.pending, pendingWrite{off, bytes.Join(bufs, nil)})
	return m.storage.WriteVector(bufs, off)
}

func (m *medium) Punch(off, n int64) error {
	m.pending = append(m.pending, pendingWrite{off, make([]byte, n)})
	return m.storage.Punch(off, n)
}

func (m *medium) Sync() error {
	m.lose()
	for _, w := range m.pending {
		m.durable = w.apply(m.durable)
	}
	m.pending = nil
	return nil
}

func (w pendingWrite) apply(b []byte) []byte {
	if end := int(w.off) + len(w.data); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[w.off:], w.data)
	return b
}

// afterLoss is what a loss of power could leave: of the writes under way, some,
// and of those some only in their first or their last sectors.
func (m *medium) afterLoss(r *rand.Rand) []byte {
	left := bytes.Clone(m.durable)
	for _, n := range r.Perm(len(m.pending)) {
		w := m.pending[n]
		sector := r.IntN(len(w.data)/sectorSize+1) * sectorSize
		switch r.IntN(4) {
		case 0:
			left = w.apply(left)
		case 1:
			left = pendingWrite{w.off, w.data[:sector]}.apply(left)
		case 2:
			left = pendingWrite{w.off + int64(sector), w.data[sector:]}.apply(left)
		}
	}
	return left
}

// TestPowerLoss loses power at many moments. The image has no errors then but
// clusters that are counted and not used, and what was flushed is read. Writes
// go to slots of 512 bytes, once each, so that what is read is the one or the
// other.
func TestPowerLoss(t *testing.T) {
	for _, options := range []string{"cluster_size=512,refcount_bits=64", "cluster_size=4k"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			const slots = 7500 // more than the first refcount table covers
			old := contents(1, slots*sectorSize)
			dir := t.TempDir()
			base := writeFile(t, filepath.Join(dir, "base.raw"), old)
			image := filepath.Join(dir, "image.qcow2")
			qemu(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", base, "-F", "raw", image)
			before, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			i := openWritable(t, image)
			m := &medium{storage: i.file, durable: before}
			i.file = m

			r := rand.New(rand.NewPCG(3, 3))
			written := contents(2, slots*sectorSize)
			flushed := bytes.Clone(old)
			m.lose = func() { checkLoss(t, m.afterLoss(r), flushed, written) }
			for n, slot := range r.Perm(slots) {
				off := slot * sectorSize
				if slot%3 == 0 {
					clear(written[off : off+sectorSize])
					err = i.WriteZeroes(int64(off), sectorSize)
				} else {
					_, err = i.WriteAt(written[off:off+sectorSize], int64(off))
				}
				if err != nil {
					t.Fatal(err)
				}
				if n%500 == 499 {
					if err := i.Flush(); err != nil {
						t.Fatal(err)
					}
					if _, err := i.ReadAt(flushed, 0); err != nil {
						t.Fatal(err)
					}
					m.lose()
				}
			}
			closeImage(t, i)
		})
	}
}

// checkLoss checks an image of which each slot must be what was flushed, or
// what was written later.
func checkLoss(t *testing.T, image, flushed, written []byte) {
	t.Helper()
	path := writeFile(t, filepath.Join(t.TempDir(), "left.qcow2"), image)
	checkLeaksOnly(t, path)
	i := mustOpen(t, path)
	got := make([]byte, len(flushed))
	if _, err := i.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(got); off += sectorSize {
		slot := got[off : off+sectorSize]
		if !bytes.Equal(slot, flushed[off:off+sectorSize]) && !bytes.Equal(slot, written[off:off+sectorSize]) {
			t.Fatalf("at %#x is neither what was flushed nor what was written", off)
		}
	}
}
