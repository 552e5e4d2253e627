// Package disk opens what a guest's disks are kept in, and does the work on it
// that package block asks for.
//
//	                 ┌─ in this goroutine: what cannot take long
//	block ── Engine ─┼─ io_uring: what the kernel does on its own
//	                 └─ a pool of goroutines: everything else
//
// What belongs where is decided for each operation, in one place for each kind
// of image: see file.quick and ringEngine.Start. One that takes long delays no
// other, except a buffered write while the host holds up everybody who writes
// more than its disks can take.
package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"microvm/devices/virtio"
	"microvm/devices/virtio/block"
)

// Options say what to open, and how.
type Options struct {
	Path     string
	ReadOnly bool
	Format   Format
	Cache    Cache
	Engine   EngineKind
	// Overlay keeps what is written in a temporary file that is gone when
	// the disk is closed. What is at Path is only read.
	Overlay bool
}

// raw reports whether the disk is just the bytes of a file.
func (o *Options) raw() bool { return o.Format != FormatQCOW2 && !o.Overlay }

// Check reports options that do not go together.
func (o *Options) Check() error {
	switch {
	case o.Overlay && o.ReadOnly:
		return errors.New("ro and overlay do not go together: an overlay is there to be written")
	case o.Engine == EngineRing && !o.raw():
		return errors.New("engine=io_uring is for raw images without an overlay")
	case o.Cache == CacheNone && !o.raw():
		return errors.New("cache=none is for raw images without an overlay")
	}
	return nil
}

// A Format is how a file keeps a disk's contents.
type Format string

const (
	// FormatAuto is raw, unless the file looks like another format. Then it
	// is nothing: a guest can make its raw disk look like any format, one
	// that names files of the host too, so what the file says is not
	// trusted.
	FormatAuto  Format = ""
	FormatRaw   Format = "raw"
	FormatQCOW2 Format = "qcow2"
)

// Formats are those that a user may name.
var Formats = []string{string(FormatRaw), string(FormatQCOW2)}

// A Cache says what the host's page cache is used for, in the words of other
// monitors; "" stands for [CacheWriteback].
type Cache string

const (
	CacheWriteback    Cache = "writeback"    // reads and writes go through it; a guest's flush is what makes them durable
	CacheNone         Cache = "none"         // reads and writes go around it (O_DIRECT)
	CacheWritethrough Cache = "writethrough" // a write is durable when it is done, unless the guest wants it otherwise
	CacheUnsafe       Cache = "unsafe"       // nothing is ever made durable: for guests that can be made anew
)

// Caches are those that a user may name.
var Caches = []string{string(CacheWriteback), string(CacheNone), string(CacheWritethrough), string(CacheUnsafe)}

// An EngineKind says what does the operations that may take long; "" stands for
// [EngineAuto].
type EngineKind string

const (
	EngineAuto EngineKind = "auto"     // io_uring if it can be had, else the pool
	EngineRing EngineKind = "io_uring" // raw images only
	EnginePool EngineKind = "pool"     // of goroutines
)

// Engines are those that a user may name.
var Engines = []string{string(EngineAuto), string(EngineRing), string(EnginePool)}

// A Disk is an open image.
type Disk struct {
	options Options
	info    block.Info
	storage storage
	ring    atomic.Bool // engines use io_uring; storage is a *file
}

// A storage does operations. Its methods may be called from many goroutines at
// once.
type storage interface {
	// do does op, however long that takes.
	do(op *block.Op, s *scratch) error
	// quick does op if that cannot take long, and reports whether it did.
	quick(op *block.Op, s *scratch) bool
	io.Closer
}

// Open opens a disk. Close gives it back.
func Open(o Options) (*Disk, error) {
	d, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", o.Path, withoutPath(err))
	}
	return d, nil
}

// withoutPath is err without the name of the file, which was said already.
func withoutPath(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

func open(o Options) (_ *Disk, err error) {
	d := &Disk{options: o}
	if err := o.Check(); err != nil {
		return nil, err
	}
	if !o.raw() {
		s, err := openImage(o)
		if err != nil {
			return nil, err
		}
		if d.info, err = s.info(o); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		d.storage = s
		return d, nil
	}
	f, err := openFile(o)
	if err != nil {
		return nil, err
	}
	ring, err := usesRing(o.Engine)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d.info, d.storage = f.info, f
	d.ring.Store(ring)
	return d, nil
}

// Close gives the image back. No engine is left.
func (d *Disk) Close() error { return d.storage.Close() }

// Info implements block.Image.
func (d *Disk) Info() block.Info { return d.info }

// NewEngine implements block.Image.
func (d *Disk) NewEngine(depth, doorbell int) (block.Engine, error) {
	p := newPool(d.storage, depth, doorbell)
	if !d.ring.Load() {
		return p, nil
	}
	e, err := newRingEngine(d.storage.(*file), p, depth, doorbell)
	if err != nil && d.options.Engine != EngineRing { // a limit that was not reached before
		d.ring.Store(false)
		return p, nil
	}
	return e, err
}

// Describe implements block.Image.
func (d *Disk) Describe() []virtio.Property {
	engine := EnginePool
	if d.ring.Load() {
		engine = EngineRing
	}
	format := d.options.Format
	if format == FormatAuto {
		format = FormatRaw
	}
	return []virtio.Property{
		{Name: "image", Value: d.options.Path},
		{Name: "format", Value: string(format)},
		{Name: "overlay", Value: d.options.Overlay},
		{Name: "cache", Value: string(d.options.Cache)},
		{Name: "engine", Value: string(engine)},
	}
}
