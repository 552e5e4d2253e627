package qcow2

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"microvm/vmm/disk/internal/vector"
)

const (
	// maxChain bounds how many files an image and its backing files are: each
	// takes a descriptor, and a look-up of every read of what none has.
	maxChain = 64
	// maxL1Chain bounds the bytes of all L1 tables of a chain, which stay in
	// memory.
	maxL1Chain = 2 * maxL1
)

// Options say how Open opens.
type Options struct {
	// Writable opens the image for reading and writing. Backing files are only
	// ever read.
	Writable bool
	// OpenFile opens a file of the chain. It is where a caller locks files; nil
	// stands for os.OpenFile.
	OpenFile func(path string, writable bool) (*os.File, error)
}

func openFile(path string, writable bool) (*os.File, error) {
	if writable {
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	return os.Open(path)
}

// Open opens the image at path and its backing files. The path of a backing
// file is relative to the directory of the image that names it. The error is an
// [*os.PathError] of path.
func Open(path string, o Options) (*Image, error) {
	c := chain{open: o.OpenFile, l1Left: maxL1Chain, cache: newCache(cacheSize)}
	if c.open == nil {
		c.open = openFile
	}
	return c.image(path, o.Writable)
}

// A chain is an image and its backing files while they are opened.
type chain struct {
	open   func(string, bool) (*os.File, error)
	files  []os.FileInfo // opened so far
	l1Left int64         // bytes that L1 tables may still have
	cache  *cache        // of all images
}

// image opens the image at path and all below it.
func (c *chain) image(path string, writable bool) (*Image, error) {
	f, err := c.file(path, writable)
	if err != nil {
		return nil, err
	}
	i, err := newImage(vector.File{File: f}, c.l1Left)
	if err == nil {
		i.cache = c.cache
		c.l1Left -= i.l1Entries * 8
		if writable {
			err = i.startWriting()
		}
	}
	if err != nil {
		f.Close()
		return nil, atPath(path, err)
	}
	if i.header.backing == "" {
		return i, nil
	}
	if i.backing, err = c.backing(i.header.backing, i.backingFormat, filepath.Dir(path)); err != nil {
		f.Close()
		return nil, atPath(path, fmt.Errorf("backing file: %w", err))
	}
	return i, nil
}

// atPath is err as one of the file at path, unless it is that already.
func atPath(path string, err error) error {
	if _, is := err.(*os.PathError); is {
		return err
	}
	return &os.PathError{Op: "open", Path: path, Err: err}
}

// file opens the file at path, which must be one that has contents of its own,
// and not be in the chain yet.
func (c *chain) file(path string, writable bool) (*os.File, error) {
	if len(c.files) == maxChain {
		return nil, atPath(path, fmt.Errorf("more than %d images, one behind another", maxChain))
	}
	// Opening something else, a named pipe for example, might wait.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if block := info.Mode().Type() == os.ModeDevice; !info.Mode().IsRegular() && !block {
		return nil, atPath(path, fmt.Errorf("neither a file nor a block device: %s", info.Mode()))
	}
	for _, other := range c.files {
		if os.SameFile(info, other) {
			return nil, atPath(path, errors.New("a loop: it is its own backing file, directly or through others"))
		}
	}
	c.files = append(c.files, info)
	f, err := c.open(path, writable)
	if err != nil {
		return nil, atPath(path, err)
	}
	return f, nil
}

// backing opens the backing file with that name and format in an image in dir.
func (c *chain) backing(name, format, dir string) (layer, error) {
	if before, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(before, "/") {
		return nil, fmt.Errorf("%q is of a protocol or JSON; only paths are supported (a path with a colon begins with \"./\")", name)
	}
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	switch format {
	case "qcow2":
		return c.image(path, false)
	case "raw", "":
		return c.raw(path, format)
	}
	return nil, atPath(path, fmt.Errorf("its format is given as %q; supported are raw and qcow2", format))
}

// raw opens a raw file. Without a format, it must not look like qcow2.
func (c *chain) raw(path, format string) (layer, error) {
	f, err := c.file(path, false)
	if err != nil {
		return nil, err
	}
	if format == "" && Probe(f) {
		f.Close()
		return nil, atPath(path, errors.New("begins as qcow2 does, but the image does not give its format, and a guess is not safe; "+
			"give it with \"qemu-img rebase -u -F qcow2 -b …\""))
	}
	raw := vector.File{File: f}
	size, err := raw.Size()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &rawFile{raw, size}, nil
}

// A rawFile is a backing file without a format.
type rawFile struct {
	vector.File
	size int64
}

func (r *rawFile) Size() int64 { return r.size }

func (r *rawFile) ReadVector(bufs [][]byte, off int64) error {
	_, err := r.File.ReadVector(bufs, off)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: became shorter than the %d bytes that it had", r.Name(), r.size)
	}
	return err
}
