package experiment

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pageSize is that of x86-64. A huge page is 512 frames here.
const pageSize = 4096

// maxFrames bounds what is looked at: 8 GiB, in some 100 MiB of table.
const maxFrames = 2 << 20

// shared is the owner of a frame that several instances map.
const shared = -1

// A frame is a page of the host's memory that instances map.
type frame struct {
	owner int // the number of the instance, or shared
	hash  uint64
	zero  bool // it has only zeros
}

// A pageCensus knows which frames of the host's memory a number of instances map,
// and which have the same contents. The kernel's own memory on their behalf and
// files that they have read and not mapped are not in it.
type pageCensus struct {
	seed   maphash.Seed
	frames map[uint64]frame // by page frame number
	mapped int              // frames, those of each instance once
}

func newPageCensus() *pageCensus {
	return &pageCensus{seed: maphash.MakeSeed(), frames: make(map[uint64]frame)}
}

// addInstance adds what the processes of an instance map.
func (c *pageCensus) addInstance(owner int, pids []int) error {
	counted := make(map[uint64]bool)
	for _, pid := range pids {
		if err := c.addProcess(owner, pid, counted); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	c.mapped += len(counted)
	return nil
}

// addProcess adds what a process maps. It may end meanwhile, with
// os.ErrNotExist.
func (c *pageCensus) addProcess(owner, pid int, counted map[uint64]bool) error {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return err
	}
	pagemap, err := os.Open(filepath.Join(dir, "pagemap"))
	if err != nil {
		return err
	}
	defer pagemap.Close()
	memory, err := os.Open(filepath.Join(dir, "mem"))
	if err != nil {
		return err
	}
	defer memory.Close()
	for line := range strings.Lines(string(maps)) {
		start, end, ok := parseMapping(line)
		if !ok {
			continue
		}
		for page, err := range presentPages(pagemap, start, end) {
			if err != nil {
				return err
			}
			counted[page.frame] = true
			if err := c.addPage(owner, page, memory); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseMapping reads a line of /proc/PID/maps (proc(5)). It is not ok for what
// has no memory to read: a reservation, or pages of the kernel's.
func parseMapping(line string) (start, end uint64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 || !strings.HasPrefix(fields[1], "r") {
		return 0, 0, false
	}
	if len(fields) > 5 && (fields[5] == "[vsyscall]" || strings.HasPrefix(fields[5], "[vvar") || fields[5] == "[vdso]") {
		return 0, 0, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	return start, end, err1 == nil && err2 == nil && start < end
}

// A page is one that a process maps.
type page struct{ address, frame uint64 }

// The bits of an entry in /proc/PID/pagemap (linux Documentation/admin-guide/mm/pagemap.rst).
const (
	pagePresent   = 1 << 63
	pageFrameMask = 1<<55 - 1 // 0 for those who lack CAP_SYS_ADMIN
)

var errNoFrames = errors.New("/proc/PID/pagemap tells frame numbers to root only (CAP_SYS_ADMIN)")

// presentPages yields the pages from start to end that are in memory.
func presentPages(pagemap io.ReaderAt, start, end uint64) func(yield func(page, error) bool) {
	return func(yield func(page, error) bool) {
		const entry = 8
		size := int64(end-start) / pageSize * entry
		entries := bufio.NewReaderSize(io.NewSectionReader(pagemap, int64(start/pageSize*entry), size), 64<<10)
		for address := start; address < end; address += pageSize {
			var e [entry]byte
			if _, err := io.ReadFull(entries, e[:]); errors.Is(err, io.EOF) {
				return // it has been unmapped, or the process has ended
			} else if err != nil {
				yield(page{}, err)
				return
			}
			bits := binary.NativeEndian.Uint64(e[:])
			if bits&pagePresent == 0 {
				continue
			}
			p, err := page{address, bits & pageFrameMask}, error(nil)
			if p.frame == 0 {
				err = errNoFrames
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

var zeros [pageSize]byte

// addPage adds a page, whose contents it reads if its frame is new. Contents
// may change while they are read: then the frame is like no other.
func (c *pageCensus) addPage(owner int, p page, memory io.ReaderAt) error {
	if f, known := c.frames[p.frame]; known {
		if f.owner != owner {
			f.owner = shared
			c.frames[p.frame] = f
		}
		return nil
	}
	if len(c.frames) == maxFrames {
		return fmt.Errorf("the instances map more than %d MiB", maxFrames*pageSize>>20)
	}
	var contents [pageSize]byte
	if _, err := memory.ReadAt(contents[:], int64(p.address)); err != nil {
		return nil // a device's memory, or unmapped by now
	}
	c.frames[p.frame] = frame{owner, maphash.Bytes(c.seed, contents[:]), contents == zeros}
	return nil
}

// hashFiles adds the hashes of all pages of the files in a tree, but those of zeros.
func (c *pageCensus) hashFiles(root string, hashes map[uint64]bool) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		for in := bufio.NewReader(f); ; {
			var contents [pageSize]byte // after the end of a file are zeros, as in memory
			_, err := io.ReadFull(in, contents[:])
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return err
			}
			if contents != zeros {
				hashes[maphash.Bytes(c.seed, contents[:])] = true
			}
		}
	})
}

// pageCounts are numbers of frames.
type pageCounts struct {
	mapped    int // those of each instance, added
	frames    int // different ones
	shared    int // of frames: mapped by several instances
	zero      int // of frames: with only zeros
	equal     int // of frames: of one instance, with the contents of a frame of another, and not zero
	known     int // of frames: with one of known contents
	knownOnce int // of known contents: how many are in any frame
}

// count counts. Known are the hashes of some contents.
func (c *pageCensus) count(known map[uint64]bool) pageCounts {
	const several = -2
	n := pageCounts{mapped: c.mapped, frames: len(c.frames)}
	owners := make(map[uint64]int) // of frames with the same hash
	for _, f := range c.frames {
		owner, before := owners[f.hash]
		if !before && known[f.hash] {
			n.knownOnce++
		}
		if before && owner != f.owner {
			owners[f.hash] = several
		} else {
			owners[f.hash] = f.owner
		}
	}
	for _, f := range c.frames {
		if f.owner == shared {
			n.shared++
		}
		if f.zero {
			n.zero++
		} else if f.owner != shared && owners[f.hash] == several {
			n.equal++
		}
		if known[f.hash] {
			n.known++
		}
	}
	return n
}
