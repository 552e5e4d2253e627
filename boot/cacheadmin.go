package boot

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A CacheEntry is a kernel in a cache.
type CacheEntry struct {
	Hash     string    `json:"hash"`    // SHA-256 of what it was made of
	Path     string    `json:"path"`    // of the cache's file
	Size     uint64    `json:"size"`    // in bytes
	Version  string    `json:"version"` // of the kernel
	Image    string    `json:"image"`   // path of the image that it was first made of
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"`        // to the hour
	Damage   string    `json:"damage,omitempty"` // what is wrong with it, as far as a start would see
}

// parseKernelName returns the hash in the name of a cached kernel's file.
func parseKernelName(name string) (h contentHash, ok bool) {
	digits, ok := strings.CutSuffix(name, cachedExt)
	if !ok || len(digits) != hex.EncodedLen(len(h)) {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(digits))
	return h, err == nil
}

// Entries returns all kernels in the cache, the last used first.
func (c *Cache) Entries() ([]CacheEntry, error) {
	files, err := readDir(c.path(kernelsDir))
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	used := c.lastUsed()
	var entries []CacheEntry
	for _, f := range files {
		h, ok := parseKernelName(f.Name())
		if !ok {
			continue
		}
		info, err := f.Info()
		if err != nil { // another process removed it
			continue
		}
		e := CacheEntry{Hash: hex.EncodeToString(h[:]), Path: c.kernelPath(h), Size: uint64(info.Size()), Created: info.ModTime()}
		e.describe()
		e.LastUsed = e.Created
		if t := used[h]; t.After(e.LastUsed) {
			e.LastUsed = t
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b CacheEntry) int {
		return cmp.Or(b.LastUsed.Compare(a.LastUsed), cmp.Compare(a.Hash, b.Hash))
	})
	return entries, nil
}

// describe fills in what the kernel's own note says.
func (e *CacheEntry) describe() {
	f, err := os.Open(e.Path)
	if err != nil {
		e.Damage = err.Error()
		return
	}
	defer f.Close()
	img, err := readCached(f)
	if err != nil {
		e.Damage = err.Error()
		return
	}
	e.Version, e.Image, e.Created = text(img.cached.Version[:]), text(img.cached.Path[:]), img.cached.created()
}

// readDir reads a directory; one that does not exist is empty.
func readDir(dir string) ([]fs.DirEntry, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return files, err
}

// lastUsed returns when each kernel was last used through a link.
func (c *Cache) lastUsed() map[contentHash]time.Time {
	used := make(map[contentHash]time.Time)
	for _, l := range c.links() {
		if l.used.After(used[l.kernel]) {
			used[l.kernel] = l.used
		}
	}
	return used
}

// A link is an image that the cache knows.
type link struct {
	path   string
	kernel contentHash
	used   time.Time
}

// links returns the images that the cache knows, the last used first. What is
// no such link is left out.
func (c *Cache) links() []link {
	files, err := readDir(c.path(imagesDir))
	if err != nil {
		return nil
	}
	var links []link
	for _, f := range files {
		path := c.path(imagesDir, f.Name())
		target, err := os.Readlink(path)
		if err != nil {
			continue
		}
		h, ok := parseKernelName(filepath.Base(target))
		info, err := f.Info()
		if ok && err == nil {
			links = append(links, link{path, h, info.ModTime()})
		}
	}
	slices.SortFunc(links, func(a, b link) int { return b.used.Compare(a.used) })
	return links
}

// Verify reads a kernel of the cache wholly, and returns what is wrong with it.
// It takes a start's check and the checksum of all its bytes.
func (c *Cache) Verify(e CacheEntry) error {
	f, err := os.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	img, err := readCached(f)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", e.Path, err)
	}
	sum, err := contentSum(f, img.cached.FileSize)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	if sum != img.cached.ContentSum {
		return fmt.Errorf("%s is damaged: the checksum of its contents is wrong", e.Path)
	}
	return nil
}

// Remove takes a kernel out of the cache. Guests that run it keep it.
func (c *Cache) Remove(e CacheEntry) error {
	err := os.Remove(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, c.sweep())
}

// Clear takes everything out of the cache.
func (c *Cache) Clear() error {
	entries, err := c.Entries()
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, c.Remove(e))
	}
	return errors.Join(append(errs, c.sweep())...)
}

// prune removes the kernels that were not used for the longest time, but never
// the kernel keep, until those left have at most max bytes together, and what
// interrupted starts left behind.
func (c *Cache) prune(max uint64, keep contentHash) error {
	entries, err := c.Entries()
	if err != nil {
		return err
	}
	var sum uint64
	var errs []error
	for _, e := range entries {
		if sum += e.Size; sum > max && e.Hash != hex.EncodeToString(keep[:]) {
			sum -= e.Size
			if err := os.Remove(e.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(append(errs, c.sweep())...)
}

// sweep removes links to kernels that are gone, the oldest links if they are
// too many, and temporary files that nobody works on.
func (c *Cache) sweep() error {
	var errs []error
	remove := func(path string) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for i, l := range c.links() {
		if _, err := os.Stat(l.path); i >= maxImages || errors.Is(err, fs.ErrNotExist) {
			remove(l.path)
		}
	}
	files, err := readDir(c.path(kernelsDir))
	errs = append(errs, err)
	for _, f := range files {
		if info, err := f.Info(); filepath.Ext(f.Name()) == tempExt && err == nil && time.Since(info.ModTime()) > staleTime {
			remove(c.path(kernelsDir, f.Name()))
		}
	}
	return errors.Join(errs...)
}
