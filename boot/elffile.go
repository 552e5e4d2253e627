package boot

import (
	"io"
	"math"
)

// WriteELF writes the kernel to w as an ELF with a PVH entry, which is what
// other monitors take beside a bzImage. It comes from the cache in cacheDir if
// that has it and, unless cacheDir is "", is kept there. That the cache cannot
// be used is no error.
func (k *Kernel) WriteELF(w io.Writer, cacheDir string) error {
	if err := k.checkEntry(EntryPVH); err != nil {
		return err
	}
	c := Config{Kernel: k, Entry: EntryPVH, CacheDir: cacheDir}
	l := &loader{Config: c, out: &Loaded{Entry: EntryPVH, kernel: k}}
	defer l.close()
	if err := l.openImage(); err != nil {
		return err
	}
	if _, err := io.Copy(w, io.NewSectionReader(l.image.data, 0, math.MaxInt64)); err != nil {
		return l.errorf("copy: %w", err)
	}
	return nil
}
