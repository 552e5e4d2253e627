package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Cache keeps decompressed kernels in a directory, so that a start need
// neither read nor decompress the image:
//
//	kernels/<hash>.elf   a kernel, by the SHA-256 of what it was made of
//	images/<file>        a symbolic link to a kernel, by the image's file
//
// To hash an image takes longer than all else at a start. So an image is known
// by its file: device, inode, size, modification and change time, which is what
// Git's index and Go's build cache do. Every write to a file sets its change time, and
// nobody can set it back; a new file in the place of the old has another inode.
// Only a write so soon after the hashing that it falls into the same tick of
// the clock is not seen; so an image that changed less than racyTime before it
// was opened is not entered, and hashed again next time. What escapes this
// is a program that goes on writing through a shared mapping that it made dirty
// before, and a host whose clock was set back.
//
// Kernels are written to a file of another name, synced, and renamed: they
// appear whole or not at all, and are never written to again. So they can be
// mapped into a guest while others clear the cache, and two that make the same
// kernel at once do not disturb each other. A kernel that somebody damaged all
// the same is noticed by its size, its modification time and the checksum of
// its first page, and made anew; damage by the disk itself is found by Verify alone.
type Cache struct {
	dir string
}

const (
	// maxCacheSize bounds the bytes of all kernels in a cache: some eight
	// of a distribution's.
	maxCacheSize = 512 << 20
	// maxImages bounds the number of links: an image gets a new one when its
	// file changes, if only in its times.
	maxImages = 128
	// racyTime is longer than a tick of any file system's clock. FAT's, of 2
	// seconds, is the longest.
	racyTime = 3 * time.Second
	// staleTime is how old a temporary file is that nobody works on any
	// more.
	staleTime = time.Hour
	// usedTime is how exactly it is known when a kernel was last used: to
	// note it costs a write.
	usedTime = time.Hour
)

const (
	kernelsDir = "kernels"
	imagesDir  = "images"
	cachedExt  = ".elf"
	tempExt    = ".tmp"
)

// DefaultCacheDir is vmm in the user's cache directory: $XDG_CACHE_HOME, or
// .cache in $HOME. The error says what is not set.
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no directory for decompressed kernels: %w", err)
	}
	return filepath.Join(dir, "vmm"), nil
}

// OpenCache opens the cache in dir, which need not exist yet: it is made when
// there is something to keep. A directory to which others than its owner may
// write, or that belongs to neither this user nor root, is refused: kernels
// from it could be anybody's.
func OpenCache(dir string) (*Cache, error) {
	if dir == "" {
		return nil, errors.New("cache: no directory is named")
	}
	c := &Cache{dir: dir}
	for _, d := range []string{dir, c.path(kernelsDir), c.path(imagesDir)} {
		if err := checkOwner(d); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	return c, nil
}

// checkOwner checks who may write to a directory, if it exists.
func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s may be written to by others (%v); remedy: chmod go-w %[1]s", dir, info.Mode().Perm())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to another user (%d)", dir, st.Uid)
	}
	return nil
}

// Dir is the cache's directory.
func (c *Cache) Dir() string { return c.dir }

func (c *Cache) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

func (c *Cache) kernelPath(h contentHash) string {
	return c.path(kernelsDir, fmt.Sprintf("%x%s", h, cachedExt))
}

func (c *Cache) imagePath(id fileID) string { return c.path(imagesDir, id.String()) }

// errMiss says that the cache does not have what is asked for.
var errMiss = errors.New("not in the cache")

// image returns the kernel that was made of the image id. The error is errMiss,
// or says what is wrong with the cache.
func (c *Cache) image(id fileID) (*source, error) {
	link := c.imagePath(id)
	target, err := os.Readlink(link)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMiss
	}
	if err != nil {
		return nil, err
	}
	h, ok := parseKernelName(filepath.Base(target))
	if !ok {
		_ = os.Remove(link) // as with a damaged kernel, below
		return nil, fmt.Errorf("%s is damaged: it is a link to %q", link, target)
	}
	s, err := c.kernel(h)
	if err == nil {
		touch(link)
	}
	return s, err
}

// touch notes that a kernel is used, by its link's times. The kernel's own say
// whether somebody wrote to it.
func touch(link string) {
	if info, err := os.Lstat(link); err != nil || time.Since(info.ModTime()) < usedTime {
		return
	}
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	// In a cache that may only be read nothing is ever removed, either.
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, link, now, unix.AT_SYMLINK_NOFOLLOW)
}

// kernel opens the kernel that was made of what has the hash h. One that is
// damaged is removed. The error is errMiss, or says what is wrong.
func (c *Cache) kernel(h contentHash) (*source, error) {
	name := c.kernelPath(h)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMiss
	}
	if err != nil {
		return nil, err
	}
	img, err := readCached(f)
	if err == nil && img.cached.Source != h {
		err = errors.New("it is another kernel's")
	}
	if err != nil {
		f.Close()
		// If it cannot be removed it is found damaged again.
		_ = os.Remove(name)
		return nil, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return &source{elf: img, data: f, size: img.cached.FileSize, aligned: true, close: func() { f.Close() }}, nil
}

// add keeps the kernel s, made of k, whose content has the hash h, and returns
// it as it is in the cache.
func (c *Cache) add(k *Kernel, h contentHash, s *source) (*source, error) {
	if err := c.makeDirs(); err != nil {
		return nil, err
	}
	n := &cacheNote{Format: cacheFormat, Created: time.Now().Unix(), Source: h}
	copy(n.Version[:], k.Version())
	if full, err := filepath.Abs(k.path); err == nil {
		copy(n.Path[:], full)
	}
	if err := c.write(c.kernelPath(h), s, n); err != nil {
		return nil, err
	}
	if err := c.prune(maxCacheSize, h); err != nil {
		return nil, err
	}
	return c.kernel(h)
}

func (c *Cache) makeDirs() error {
	if err := os.MkdirAll(c.path(kernelsDir), 0o700); err != nil {
		return err
	}
	return os.MkdirAll(c.path(imagesDir), 0o700)
}

// write writes a kernel to the file name, whole or not at all.
func (c *Cache) write(name string, s *source, n *cacheNote) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "*"+tempExt)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // or prune does
		}
	}()
	defer f.Close()
	if err := writeCached(f, s, n); err != nil {
		return err
	}
	// Without it, a crash of the host soon after may leave the name and the
	// times, and nothing in the file.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Chtimes(f.Name(), n.created(), n.created()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// remember enters that k, as it was when it was opened, has the hash h, unless
// its file changed too lately, or has changed since, to be sure.
func (c *Cache) remember(k *Kernel, h contentHash) error {
	if now, err := idOf(k.file); err != nil || now != k.id || k.opened.Sub(k.id.changed) < racyTime {
		return err
	}
	if err := c.makeDirs(); err != nil {
		return err
	}
	link := c.imagePath(k.id)
	target := filepath.Join("..", kernelsDir, filepath.Base(c.kernelPath(h)))
	if old, err := os.Readlink(link); err == nil && old != target {
		// A change of the file that its times do not show.
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := os.Symlink(target, link)
	if errors.Is(err, fs.ErrExist) {
		// Another start was first, or the link was of a kernel that was
		// gone, and now is there again.
		return nil
	}
	if err != nil {
		return err
	}
	return c.sweep() // links are bounded
}
