package boot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A Kernel is a kernel image in an open file.
type Kernel struct {
	path string
	file *os.File
	size uint64

	id     fileID    // of the file …
	opened time.Time // … when it was opened

	// Exactly one is not nil.
	bz  *bzImage
	elf *elfImage
}

// maxKernelFile bounds an image's file. A vmlinux with debugging information
// may have 1 GiB; only its segments are read.
const maxKernelFile = 8 << 30

// Open opens a kernel image, a bzImage or an ELF, and checks what can be
// checked without reading all of it. Errors name the file, what is wrong with
// it and what would be right; an error of the host's wraps the cause
// ([fs.ErrNotExist] and so on).
func Open(path string) (_ *Kernel, err error) {
	f, size, err := openRegular("kernel", path)
	if err != nil {
		return nil, err
	}
	k := &Kernel{path: path, file: f, size: size, opened: time.Now()}
	if err := k.identify(); err != nil {
		f.Close()
		return nil, fmt.Errorf("kernel %s: %w", path, err)
	}
	return k, nil
}

// openRegular opens a file that is to be read at any offset.
func openRegular(what, path string) (*os.File, uint64, error) {
	if path == "" {
		return nil, 0, fmt.Errorf("%s: no file is named", what)
	}
	// Looked at before it is opened: opening a FIFO would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", what, err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, 0, fmt.Errorf("%s %s: it is a directory, not a file", what, path)
	case !mode.IsRegular():
		return nil, 0, fmt.Errorf("%s %s: it is not a regular file (%v)", what, path, mode.Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", what, err)
	}
	if info, err = f.Stat(); err == nil && info.Size() == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s %s: %w", what, path, err)
	}
	return f, uint64(info.Size()), nil
}

// identify finds out what the image is and reads its headers.
func (k *Kernel) identify() (err error) {
	if k.size > maxKernelFile {
		return fmt.Errorf("it has %d bytes, which no kernel has (limit %d)", k.size, int64(maxKernelFile))
	}
	if k.id, err = idOf(k.file); err != nil {
		return err
	}
	start := make([]byte, min(startSize, k.size))
	if _, err := k.file.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case isELF(start):
		k.elf, err = parseELF(k.file, k.size)
	case isBzImage(start):
		k.bz, err = parseBzImage(k.file, start, k.size)
	default:
		err = whatElse(start)
	}
	return err
}

// Path is the name by which the image was opened.
func (k *Kernel) Path() string { return k.path }

// Version is the kernel's version as the image tells it, "" if it does not.
func (k *Kernel) Version() string {
	if k.bz != nil {
		return k.bz.version
	}
	return k.elf.release
}

// Release is the version as uname -r shows it in the guest, such as
// 6.1.0-56-amd64: the first word of Version.
func (k *Kernel) Release() string {
	release, _, _ := strings.Cut(k.Version(), " ")
	return release
}

// Close closes the image's file. What was loaded from it stays.
func (k *Kernel) Close() error { return k.file.Close() }
