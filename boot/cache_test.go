package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/kvm/guestmem"
)

// cacheDir is a directory that OpenCache takes.
func cacheDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "cache")
}

// settled opens an image that was last changed so long ago that the cache takes
// its file's word for it.
func settled(t testing.TB, path string) *Kernel {
	t.Helper()
	k := openPath(t, path)
	k.opened = k.opened.Add(2 * racyTime) // as if it were then
	return k
}

// loadELF loads the image at path with a cache, and checks what is in memory.
func loadELF(t testing.TB, path, cache string) *Loaded {
	t.Helper()
	mem := ram(t, 16*mib)
	l := load(t, mem, Config{Kernel: settled(t, path), CacheDir: cache})
	wantELF(t, mem, linuxELF())
	return l
}

// cached returns the path of the only kernel in the cache, and checks that there
// is no other file, such as a temporary one.
func cached(t testing.TB, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "kernels", "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("kernels in the cache: %q, %v", names, err)
	}
	return names[0]
}

func hows(l *Loaded) (hows []How) {
	for _, p := range l.Kernel {
		hows = append(hows, p.How)
	}
	return hows
}

func TestCache(t *testing.T) {
	for name, image := range map[string][]byte{"bzImage": tinyKernel(t), "vmlinux": linuxELF().image(t)} {
		t.Run(name, func(t *testing.T) {
			path, dir := file(t, image), cacheDir(t)
			for i, want := range []bool{false, true, true} {
				l := loadELF(t, path, dir)
				if l.CacheHit != want || l.CacheErr != nil {
					t.Errorf("start %d: hit %v, %v", i, l.CacheHit, l.CacheErr)
				}
				if !slices.Equal(hows(l), []How{Mapped, Mapped}) {
					t.Errorf("start %d: %v", i, hows(l))
				}
				if l.Entry != EntryELF || l.Regs.RIP != 4*mib+0x10 {
					t.Errorf("start %d: entry %s at %#x", i, l.Entry, l.Regs.RIP)
				}
			}
			// A copy of the image is another file with the same contents.
			if l := loadELF(t, file(t, image), dir); !l.CacheHit || l.CacheErr != nil {
				t.Errorf("copy: hit %v, %v", l.CacheHit, l.CacheErr)
			}
			// The PVH entry survives the cache, as does what is Linux.
			l := load(t, ram(t, 16*mib), Config{Kernel: settled(t, path), CacheDir: dir, Entry: EntryPVH})
			if !l.CacheHit || l.Regs.RIP != 4*mib+0x20 {
				t.Errorf("PVH: hit %v, entry at %#x", l.CacheHit, l.Regs.RIP)
			}
			cached(t, dir)
		})
	}
}

func TestCacheOf32Bits(t *testing.T) {
	path, dir := file(t, linuxELF32().image(t)), cacheDir(t)
	for range 2 {
		l := loadELF(t, path, dir)
		if l.mode != mode32 || l.CacheErr != nil {
			t.Errorf("mode %d, %v", l.mode, l.CacheErr)
		}
	}
}

// The cached kernel is an ELF that can be started itself.
func TestCachedKernelIsAKernel(t *testing.T) {
	dir := cacheDir(t)
	loadELF(t, file(t, tinyKernel(t)), dir)
	k := openPath(t, cached(t, dir))
	if k.Version() != "6.1.0-tiny" {
		t.Errorf("version %q", k.Version())
	}
	mem := ram(t, 16*mib)
	load(t, mem, Config{Kernel: k})
	wantELF(t, mem, linuxELF())
}

// An image that is changed in place, to the same size and with its modification
// time set back, is still another one.
func TestCacheNoticesAChangedImage(t *testing.T) {
	path, dir := file(t, tinyKernel(t)), cacheDir(t)
	loadELF(t, path, dir)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	other := linuxELF()
	other.segments[0].data = pattern(2*pageSize+100, 99)
	image := linuxBz(gzipped(t, other.image(t))).image(t)
	time.Sleep(20 * time.Millisecond) // a tick of the file system's clock, which racyTime is for
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	mem := ram(t, 16*mib)
	l := load(t, mem, Config{Kernel: settled(t, path), CacheDir: dir})
	if l.CacheHit {
		t.Error("the old kernel was taken")
	}
	wantELF(t, mem, other)
}

// An image that changed just now may change again without a trace: its file is
// not trusted, its hash is.
func TestCacheDoesNotTrustAnImageThatChangedJustNow(t *testing.T) {
	path, dir := file(t, tinyKernel(t)), cacheDir(t)
	for i := range 2 {
		l := load(t, ram(t, 16*mib), Config{Kernel: openPath(t, path), CacheDir: dir})
		if l.CacheHit != (i == 1) || l.CacheErr != nil {
			t.Errorf("start %d: hit %v, %v", i, l.CacheHit, l.CacheErr)
		}
		if links, err := os.ReadDir(filepath.Join(dir, "images")); err != nil || len(links) != 0 {
			t.Errorf("start %d: %d images are trusted, %v", i, len(links), err)
		}
	}
}

// A vmlinux that changes between the hashing and the copying is not kept: its
// new contents under the old hash would be taken for the old kernel.
func TestCacheRefusesAnImageThatChangesMeanwhile(t *testing.T) {
	image := linuxELF().image(t)
	for _, tt := range []struct {
		name   string
		change func(k *Kernel) error
		want   error
	}{
		{"same", func(*Kernel) error { return nil }, nil},
		{"written to", func(k *Kernel) error {
			b := bytes.Clone(image)
			b[k.elf.segments[0].Offset] ^= 1
			return os.WriteFile(k.path, b, 0o600)
		}, errChanged},
		{"cut", func(k *Kernel) error {
			last := k.elf.segments[len(k.elf.segments)-1]
			return os.Truncate(k.path, int64(last.Offset+last.FileSize)-1)
		}, io.ErrUnexpectedEOF},
	} {
		k := open(t, image)
		c, err := OpenCache(cacheDir(t))
		if err != nil {
			t.Fatal(err)
		}
		h, err := k.elfHash()
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.change(k); err != nil {
			t.Fatal(err)
		}
		kept, err := c.add(k, h, &source{elf: k.elf, data: k.file, size: k.size, image: true})
		if err == nil {
			kept.close()
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: add: %v, want %v", tt.name, err, tt.want)
		}
		files, err := os.ReadDir(c.path(kernelsDir))
		if kept := tt.want == nil; err != nil || (len(files) > 0) != kept {
			t.Errorf("%s: the cache has %v, %v", tt.name, files, err)
		}
	}
}

// A vmlinux that somebody edits while it runs does not change the guest: the
// guest has the cache's pages.
func TestGuestKeepsItsKernel(t *testing.T) {
	path, dir := file(t, linuxELF().image(t)), cacheDir(t)
	mem := ram(t, 16*mib)
	load(t, mem, Config{Kernel: settled(t, path), CacheDir: dir})
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	wantELF(t, mem, linuxELF())
}

// rewrite changes a file and puts its times back, as a fault of the disk would.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to the cache, the next start succeeds, and the one after it
// finds the kernel in the cache again.
func TestDamagedCache(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string // in CacheErr
	}{
		{"kernel cut by a byte", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func(b []byte) []byte { return b[:len(b)-1] })
		}, "damaged"},
		{"kernel cut to its first page", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func(b []byte) []byte { return b[:pageSize] })
		}, "damaged"},
		{"kernel empty", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func([]byte) []byte { return nil })
		}, "damaged"},
		{"kernel all zero", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func(b []byte) []byte { return make([]byte, len(b)) })
		}, "damaged"},
		{"kernel longer", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func(b []byte) []byte { return append(b, 0) })
		}, "damaged"},
		{"bit of the header flipped", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func(b []byte) []byte { b[0x60] ^= 1; return b })
		}, "checksum"},
		{"another ELF", func(t *testing.T, dir string) {
			rewrite(t, cached(t, dir), func([]byte) []byte { return linuxELF().image(t) })
		}, "damaged"},
		{"written to", func(t *testing.T, dir string) {
			if err := os.Chtimes(cached(t, dir), time.Time{}, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}, "somebody wrote"},
		{"another kernel's name", func(t *testing.T, dir string) {
			name := cached(t, dir)
			other := filepath.Join(filepath.Dir(name), strings.Repeat("ab", 32)+".elf")
			if err := os.Rename(name, other); err != nil {
				t.Fatal(err)
			}
			relink(t, dir, "../kernels/"+filepath.Base(other))
		}, "another kernel's"},
		{"link to nowhere", func(t *testing.T, dir string) { relink(t, dir, "../kernels/"+strings.Repeat("ab", 32)+".elf") }, ""},
		{"link to something else", func(t *testing.T, dir string) { relink(t, dir, "/etc/passwd") }, "is a link to"},
		{"kernel gone", func(t *testing.T, dir string) {
			if err := os.Remove(cached(t, dir)); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"directories gone", func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path, dir := file(t, tinyKernel(t)), cacheDir(t)
			loadELF(t, path, dir)
			tt.damage(t, dir)
			l := loadELF(t, path, dir)
			if tt.want == "" && l.CacheErr != nil || tt.want != "" && (l.CacheErr == nil || !strings.Contains(l.CacheErr.Error(), tt.want)) {
				t.Errorf("error %v, want %q", l.CacheErr, tt.want)
			}
			loadELF(t, path, dir) // mends a link
			if l := loadELF(t, path, dir); !l.CacheHit || l.CacheErr != nil {
				t.Errorf("later: hit %v, %v", l.CacheHit, l.CacheErr)
			}
		})
	}
}

// relink makes the only link of an image point elsewhere.
func relink(t *testing.T, dir, target string) {
	t.Helper()
	links, err := filepath.Glob(filepath.Join(dir, "images", "*"))
	if err != nil || len(links) != 1 {
		t.Fatalf("links %q, %v", links, err)
	}
	if err := errors.Join(os.Remove(links[0]), os.Symlink(target, links[0])); err != nil {
		t.Fatal(err)
	}
}

// A cache that cannot be used does not break a start.
func TestUnusableCache(t *testing.T) {
	aFile := file(t, []byte("no directory"))
	loose := t.TempDir()
	if err := os.Chmod(loose, 0o777); err != nil {
		t.Fatal(err)
	}
	blocked := t.TempDir()
	if err := errors.Join(os.Chmod(blocked, 0o700), os.Mkdir(filepath.Join(blocked, "kernels"), 0o700),
		os.WriteFile(filepath.Join(blocked, "images"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, dir, want string }{
		{"a file", aFile, "not a directory"},
		{"below a file", filepath.Join(aFile, "cache"), "not a directory"},
		{"others may write", loose, "written to by others"},
		{"a file in the place of a directory", blocked, "not a directory"},
		{"not to be written", "/proc/self/cache", "no such file"},
	} {
		for range 2 {
			l := loadELF(t, file(t, tinyKernel(t)), tt.dir)
			if l.CacheHit || l.CacheErr == nil || !strings.Contains(l.CacheErr.Error(), tt.want) {
				t.Errorf("%s: hit %v, error %v; want %q", tt.name, l.CacheHit, l.CacheErr, tt.want)
			}
		}
	}
}

// A full disk is a write that fails. The limit on the size of files makes one,
// for a kernel that is larger than all else that this process writes.
func TestFullCache(t *testing.T) {
	e := linuxELF()
	e.segments = append(e.segments, tinySegment{addr: 5 * mib, data: pattern(2*mib, 3)})
	path, dir := file(t, e.image(t)), cacheDir(t)
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: mib, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	l := loadELF(t, path, dir)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if l.CacheHit || !errors.Is(l.CacheErr, unix.EFBIG) {
		t.Errorf("hit %v, error %v", l.CacheHit, l.CacheErr)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "kernels")); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if l := loadELF(t, path, dir); l.CacheErr != nil {
		t.Errorf("with room again: %v", l.CacheErr)
	}
}

func TestManyStartsAtOnce(t *testing.T) {
	path, dir := file(t, tinyKernel(t)), cacheDir(t)
	var starts sync.WaitGroup
	for i := range 8 {
		k := settled(t, path)
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: 8 * mib})
		starts.Go(func() {
			l, err := Load(mem, Config{Kernel: k, CacheDir: dir})
			if err != nil || l.CacheErr != nil {
				t.Errorf("start %d: %v, %v", i, err, l.CacheErr)
				return
			}
			wantELF(t, mem, linuxELF())
		})
	}
	starts.Wait()
	cached(t, dir)
}

// fillCache puts n kernels into a new cache, the first of which was used last.
func fillCache(t *testing.T, n int) (*Cache, []CacheEntry) {
	t.Helper()
	dir := cacheDir(t)
	for i := range n {
		e := linuxELF()
		e.segments[0].data = pattern(2*pageSize, byte(i))
		load(t, ram(t, 16*mib), Config{Kernel: settled(t, file(t, e.image(t))), CacheDir: dir})
		links, err := filepath.Glob(filepath.Join(dir, "images", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links { // all of them an hour older
			info, err := os.Lstat(l)
			if err != nil {
				t.Fatal(err)
			}
			old, err := unix.TimeToTimespec(info.ModTime().Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.UtimesNanoAt(unix.AT_FDCWD, l, []unix.Timespec{old, old}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := c.Entries()
	if err != nil || len(entries) != n {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	return c, entries
}

func TestCacheEntries(t *testing.T) {
	c, entries := fillCache(t, 3)
	for i, e := range entries {
		if e.Version != "6.1.0-tiny" || !filepath.IsAbs(e.Image) || e.Damage != "" || e.Size%pageSize != 0 || time.Since(e.Created) > time.Minute {
			t.Errorf("entry %+v", e)
		}
		if i > 0 && e.LastUsed.After(entries[i-1].LastUsed) {
			t.Errorf("entry %d was used after the one before it", i)
		}
		if err := c.Verify(e); err != nil {
			t.Error(err)
		}
	}
}

// Verify finds what a start does not look at.
func TestVerify(t *testing.T) {
	c, entries := fillCache(t, 1)
	e := entries[0]
	rewrite(t, e.Path, func(b []byte) []byte { b[len(b)-pageSize] ^= 1; return b })
	if err := c.Verify(e); err == nil || !strings.Contains(err.Error(), "contents") {
		t.Errorf("error %v", err)
	}
	rewrite(t, e.Path, func(b []byte) []byte { return b[:100] })
	if err := c.Verify(e); err == nil {
		t.Error("cut: no error")
	}
	if now, err := c.Entries(); err != nil || len(now) != 1 || now[0].Damage == "" {
		t.Errorf("entries %+v, %v", now, err)
	}
}

func TestPrune(t *testing.T) {
	c, entries := fillCache(t, 4)
	if err := c.prune(2*entries[0].Size+1, contentHash{}); err != nil {
		t.Fatal(err)
	}
	left, err := c.Entries()
	if err != nil || len(left) != 2 || left[0].Hash != entries[0].Hash || left[1].Hash != entries[1].Hash {
		t.Errorf("left %+v, %v; of %+v", left, err, entries)
	}
	if links := c.links(); len(links) != 2 {
		t.Errorf("%d links are left", len(links))
	}
	// The kernel that was just made stays, even if it alone is too large.
	oldest, _ := parseKernelName(filepath.Base(left[1].Path))
	if err := c.prune(0, oldest); err != nil {
		t.Fatal(err)
	}
	if left, err = c.Entries(); err != nil || len(left) != 1 || left[0].Hash != entries[1].Hash {
		t.Errorf("left %+v, %v", left, err)
	}
}

func TestClear(t *testing.T) {
	c, _ := fillCache(t, 2)
	stale := c.path(kernelsDir, "1.tmp")
	fresh := c.path(kernelsDir, "2.tmp")
	if err := errors.Join(os.WriteFile(stale, nil, 0o600), os.WriteFile(fresh, nil, 0o600),
		os.Chtimes(stale, time.Time{}, time.Now().Add(-2*staleTime))); err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := filepath.WalkDir(c.Dir(), func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if err != nil || !slices.Equal(left, []string{fresh}) {
		t.Errorf("left %q, %v; want the file that another start may be writing", left, err)
	}
	if err := c.Clear(); err != nil {
		t.Errorf("again: %v", err)
	}
	none, err := OpenCache(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := none.Entries(); err != nil || len(entries) != 0 || none.Clear() != nil {
		t.Errorf("a cache that does not exist: %v, %v", entries, err)
	}
}

func TestLinksAreBounded(t *testing.T) {
	c, entries := fillCache(t, 1)
	for i := range maxImages + 10 {
		if err := os.Symlink("../kernels/"+filepath.Base(entries[0].Path), c.path(imagesDir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.prune(maxCacheSize, contentHash{}); err != nil {
		t.Fatal(err)
	}
	if n := len(c.links()); n != maxImages {
		t.Errorf("%d links are left, want %d", n, maxImages)
	}
}

// A start adds a link, and so takes care that there are not too many.
func TestNewLinkKeepsTheBound(t *testing.T) {
	c, entries := fillCache(t, 1)
	for i := range maxImages {
		if err := os.Symlink("../kernels/"+filepath.Base(entries[0].Path), c.path(imagesDir, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	e := linuxELF()
	e.segments[0].data = pattern(2*pageSize, 0) // as fillCache has it: in the cache already
	l := load(t, ram(t, 16*mib), Config{Kernel: settled(t, file(t, e.image(t))), CacheDir: c.Dir()})
	if !l.CacheHit || l.CacheErr != nil {
		t.Errorf("hit %v, %v", l.CacheHit, l.CacheErr)
	}
	if n := len(c.links()); n != maxImages {
		t.Errorf("%d links, want %d", n, maxImages)
	}
}

// A link that leads an image to another's kernel is replaced.
func TestLinkToAnotherKernel(t *testing.T) {
	c, _ := fillCache(t, 2)
	k := settled(t, file(t, linuxELF().image(t)))
	for _, l := range c.links() {
		if err := c.remember(k, l.kernel); err != nil {
			t.Fatal(err)
		}
		want := "../kernels/" + filepath.Base(c.kernelPath(l.kernel))
		if got, err := os.Readlink(c.imagePath(k.id)); err != nil || got != want {
			t.Errorf("the image's link is %q, %v; want %q", got, err, want)
		}
	}
}

func TestDefaultCacheDir(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/x")
	t.Setenv("HOME", "/home/u")
	if dir, err := DefaultCacheDir(); dir != "/x/vmm" || err != nil {
		t.Error(dir, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	if dir, err := DefaultCacheDir(); dir != "/home/u/.cache/vmm" || err != nil {
		t.Error(dir, err)
	}
	t.Setenv("HOME", "")
	if dir, err := DefaultCacheDir(); err == nil {
		t.Error(dir, "without HOME")
	}
}

// Segments that share a page become one run of pages.
func TestExtents(t *testing.T) {
	e := linuxELF()
	const at = 4 * mib
	e.segments = []tinySegment{
		{addr: at + 0x10, virtual: at + 0x10, data: pattern(100, 1)},
		{addr: at + 0x200, virtual: at + 0x200, data: pattern(10, 2), memSize: pageSize}, // bss into the next page
		{addr: at + pageSize + 0x300, virtual: 1, data: pattern(50, 3)},
		{addr: at + 4*pageSize, virtual: 2, data: nil, memSize: 2 * pageSize},
		{addr: at + 8*pageSize + 5, virtual: 3, data: pattern(pageSize, 4)},
	}
	e.entry = at + 0x10
	mem := ram(t, 16*mib)
	l := load(t, mem, Config{Kernel: settled(t, file(t, e.image(t))), CacheDir: cacheDir(t)})
	wantELF(t, mem, e)
	want := []guestmem.Range{{Start: at, Size: 2 * pageSize}, {Start: at + 4*pageSize, Size: 2 * pageSize}, {Start: at + 8*pageSize, Size: 2 * pageSize}}
	var got []guestmem.Range
	for _, p := range l.Kernel {
		got = append(got, p.Range)
	}
	if !slices.Equal(got, want) || l.CacheErr != nil {
		t.Errorf("%v, want %v; %v", got, want, l.CacheErr)
	}
	wantBytes(t, mem, at, make([]byte, 0x10))
	wantBytes(t, mem, at+0x10+100, make([]byte, 0x200-0x10-100))
}

// What is cached of a payload does not depend on the file around it.
func TestSamePayloadIsKeptOnce(t *testing.T) {
	dir := cacheDir(t)
	z := linuxBz(gzipped(t, linuxELF().image(t)))
	loadELF(t, file(t, z.image(t)), dir)
	z.trailing = bytes.Repeat([]byte("signature"), 100)
	if l := loadELF(t, file(t, z.image(t)), dir); !l.CacheHit {
		t.Error("decompressed again")
	}
	cached(t, dir)
}
