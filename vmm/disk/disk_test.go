package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio/block"
)

const size = 1 << 20 // of test disks, in bytes

// newFile returns the path of a raw image in a directory that is not only memory,
// if this host has one.
func newFile(t testing.TB, contents []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, contents, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustOpen opens a disk for the test's time.
func mustOpen(t testing.TB, o Options) *Disk {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// A client is a queue's goroutine, as far as its engine sees it.
type client struct {
	t        testing.TB
	engine   block.Engine
	doorbell int
	slots    int // used so far
}

const depth = 64

func newClient(t testing.TB, d *Disk) *client {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.NewEngine(depth, fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		unix.Close(fd)
	})
	return &client{t: t, engine: e, doorbell: fd}
}

// do does operations beside one another.
func (c *client) do(ops ...*block.Op) {
	c.t.Helper()
	left := 0
	for i, op := range ops {
		op.Slot = i
		if !c.engine.Start(op) {
			left++
		}
	}
	c.engine.Submit()
	for left > 0 {
		if op := c.engine.Done(); op != nil {
			left--
			continue
		}
		if _, err := unix.Read(c.doorbell, make([]byte, 8)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// must does an operation that may not fail.
func (c *client) must(op *block.Op) {
	c.t.Helper()
	if c.do(op); op.Err != nil {
		c.t.Fatalf("kind %d at %d, %d bytes: %v", op.Kind, op.Off, op.Len, op.Err)
	}
}

// pieces cuts p at random.
func pieces(r *rand.Rand, p []byte) (out [][]byte) {
	for len(p) > 0 {
		n := 1 + r.IntN(len(p))
		if len(out) == 9 {
			n = len(p)
		}
		out = append(out, p[:n])
		p = p[n:]
	}
	return out
}

// variants are the combinations of engine and cache, and images of each kind.
func variants(t *testing.T, run func(t *testing.T, o Options)) {
	for _, o := range []Options{
		{Cache: CacheWriteback, Engine: EngineRing},
		{Cache: CacheWriteback, Engine: EnginePool},
		{Cache: CacheWritethrough, Engine: EngineRing},
		{Cache: CacheWritethrough, Engine: EnginePool},
		{Cache: CacheUnsafe, Engine: EngineAuto},
		{Cache: CacheNone, Engine: EngineRing},
		{Cache: CacheNone, Engine: EnginePool},
		{Cache: CacheWriteback, Engine: EngineAuto, Overlay: true},
	} {
		t.Run(fmt.Sprintf("%s/%s/overlay %t", o.Cache, o.Engine, o.Overlay), func(t *testing.T) { run(t, o) })
	}
}

// TestModel: whatever is done to a disk, alone or beside other operations on other
// ranges, it reads as memory would.
func TestModel(t *testing.T) {
	variants(t, func(t *testing.T, o Options) {
		r := rand.New(rand.NewPCG(1, 2))
		want := make([]byte, size)
		fill(r, want)
		o.Path = newFile(t, want)
		d := mustOpen(t, o)
		c := newClient(t, d)
		for range 100 {
			lane := r.IntN(16) // of the disk, so that operations do not overlap
			var ops []*block.Op
			for i := range 1 + r.IntN(16) {
				ops = append(ops, randomOp(r, int64((lane+i)%16)*(size/16), want))
			}
			before := bytes.Clone(want)
			for _, op := range ops {
				apply(op, want)
			}
			c.do(ops...)
			for _, op := range ops {
				got := bytes.Join(op.Data, nil)
				switch {
				case op.Err != nil:
					t.Fatalf("kind %d at %d: %v", op.Kind, op.Off, op.Err)
				case op.Kind == block.Read && !bytes.Equal(got, before[op.Off:op.Off+op.Len]):
					t.Fatalf("a read of %d bytes at %d is wrong", op.Len, op.Off)
				case op.Kind == block.Discard: // reads as anything
					c.must(&block.Op{Kind: block.Read, Off: op.Off, Len: op.Len, Data: [][]byte{want[op.Off : op.Off+op.Len]}})
				}
			}
		}
		if o.Overlay {
			return // the file is not written
		}
		if got, err := os.ReadFile(o.Path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the file is not as the model is: %v", err)
		}
	})
}

func fill(r *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
}

// randomOp is an operation on the 64 KiB at lane.
func randomOp(r *rand.Rand, lane int64, _ []byte) *block.Op {
	off := r.Int64N(128)
	n := 1 + r.Int64N(128-off)
	if r.IntN(2) == 0 { // whole pages
		off, n = off&^7, max(8, n&^7)
	}
	op := &block.Op{Kind: block.OpKind(r.IntN(5)), Off: lane + off*512, Len: n * 512, Durable: r.IntN(4) == 0, Unmap: r.IntN(2) == 0}
	if op.Kind == block.Read || op.Kind == block.Write {
		memory := make([]byte, op.Len)
		if op.Kind == block.Write {
			fill(r, memory)
		}
		op.Data = pieces(r, memory)
	}
	return op
}

// apply does op to the model, as far as its result is certain.
func apply(op *block.Op, model []byte) {
	at := model[op.Off : op.Off+op.Len]
	switch op.Kind {
	case block.Write:
		copy(at, bytes.Join(op.Data, nil))
	case block.WriteZeroes:
		clear(at)
	}
}

// blocks is how much of a file there is, in bytes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// A discard, and zeroes that may unmap, make the file smaller on the host; a
// sparse file stays sparse where it is not written.
func TestSparse(t *testing.T) {
	path := newFile(t, nil)
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, mustOpen(t, Options{Path: path, Cache: CacheWriteback, Engine: EngineAuto}))
	if n := blocks(t, path); n != 0 {
		t.Fatalf("opening the file made it %d bytes large", n)
	}
	data := bytes.Repeat([]byte{1}, 8<<20)
	c.must(&block.Op{Kind: block.Write, Off: 4 << 20, Len: 8 << 20, Data: [][]byte{data}})
	c.must(&block.Op{Kind: block.Flush})
	if n := blocks(t, path); n < 8<<20 || n > 9<<20 {
		t.Fatalf("8 MiB take %d bytes", n)
	}
	c.must(&block.Op{Kind: block.Discard, Off: 4 << 20, Len: 4 << 20})
	if n := blocks(t, path); n > 5<<20 {
		t.Errorf("after a discard of half %d bytes are left", n)
	}
	c.must(&block.Op{Kind: block.WriteZeroes, Off: 8 << 20, Len: 4 << 20, Unmap: true})
	if n := blocks(t, path); n > 1<<20 {
		t.Errorf("after zeroes for the other half %d bytes are left", n)
	}
}

// Somebody makes the file shorter while it is used: reads beyond its end fail,
// and nothing else.
func TestTruncated(t *testing.T) {
	variants(t, func(t *testing.T, o Options) {
		if o.Overlay {
			t.Skip("the base's end is the overlay's business")
		}
		o.Path = newFile(t, make([]byte, size))
		c := newClient(t, mustOpen(t, o))
		if err := os.Truncate(o.Path, size/2); err != nil {
			t.Fatal(err)
		}
		read := func(off, n int64) error {
			op := &block.Op{Kind: block.Read, Off: off, Len: n, Data: [][]byte{make([]byte, n)}}
			c.do(op)
			return op.Err
		}
		if err := read(0, 4096); err != nil {
			t.Errorf("before the end: %v", err)
		}
		if err := read(size/2-4096, 8192); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("across the end: %v", err)
		}
		if err := read(size-4096, 4096); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("behind the end: %v", err)
		}
	})
}

// A full file system is an error of the write that meets it.
func TestNoSpace(t *testing.T) {
	path := newFile(t, make([]byte, size))
	f, err := openFile(Options{Path: path, Engine: EnginePool, Cache: CacheWriteback})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	f.fd = int(full.Fd())
	for _, kind := range []EngineKind{EngineRing, EnginePool} {
		d := &Disk{options: Options{Engine: kind}, info: f.info, storage: f}
		d.ring.Store(kind == EngineRing)
		op := &block.Op{Kind: block.Write, Len: 512, Data: [][]byte{make([]byte, 512)}}
		if newClient(t, d).do(op); !errors.Is(op.Err, unix.ENOSPC) {
			t.Errorf("%s: %v", kind, op.Err)
		}
	}
}

// Operations on one page of memory at a time allocate nothing.
func TestNoAllocation(t *testing.T) {
	for _, kind := range []EngineKind{EngineRing, EnginePool} {
		for _, cache := range []Cache{CacheWriteback, CacheNone} {
			c := newClient(t, mustOpen(t, Options{Path: newFile(t, make([]byte, size)), Cache: cache, Engine: kind}))
			memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				t.Fatal(err)
			}
			ops := []*block.Op{
				{Kind: block.Read, Len: 4096, Data: [][]byte{memory}}, {Kind: block.Write, Len: 4096, Data: [][]byte{memory}},
				{Kind: block.Read, Len: 4096, Data: [][]byte{memory}}, {Kind: block.Flush},
			}
			counter := make([]byte, 8)
			got := testing.AllocsPerRun(200, func() {
				left := 0
				for i, op := range ops {
					op.Slot = i
					if !c.engine.Start(op) {
						left++
					}
				}
				c.engine.Submit()
				for left > 0 {
					if c.engine.Done() != nil {
						left--
					} else {
						unix.Read(c.doorbell, counter)
					}
				}
			})
			if got >= 1 {
				t.Errorf("%s, %s: %v allocations", kind, cache, got)
			}
		}
	}
}

// Where io_uring cannot be had any more, for want of descriptors here, a queue has
// the pool, unless the user wants nothing but io_uring.
func TestEngineFallsBack(t *testing.T) {
	path := newFile(t, make([]byte, size))
	if err := tryRing(); err != nil {
		if os.Getenv("MICROVM_NOSKIP") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, missing on this host: %v", err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for kind, falls := range map[EngineKind]bool{EngineAuto: true, "": true, EngineRing: false} {
		d := mustOpen(t, Options{Path: path, ReadOnly: true, Engine: kind})
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		e, err := d.NewEngine(1, -1)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if (err == nil) != falls {
			t.Errorf("engine %q: %v", kind, err)
		}
		if err != nil {
			continue
		}
		if _, is := e.(*pool); !is || d.ring.Load() {
			t.Errorf("engine %q: a %T", kind, e)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}
