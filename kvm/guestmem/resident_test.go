package guestmem

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smaps returns the sum of a field of /proc/self/smaps, in bytes, over the
// mappings that hold a page of r.
func smaps(t *testing.T, m *Memory, r Range, field string) uint64 {
	t.Helper()
	start, err := m.HostAddr(r)
	if err != nil {
		t.Fatal(err)
	}
	end := start + uintptr(r.Size)
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sum uint64
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if !strings.HasSuffix(words[0], ":") { // a mapping: from-to …
			var from, to uintptr
			if _, err := fmt.Sscanf(words[0], "%x-%x", &from, &to); err != nil {
				t.Fatal(err)
			}
			inside = from < end && to > start
		}
		if inside && words[0] == field+":" {
			kb, err := strconv.ParseUint(words[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += kb << 10
		}
	}
	return sum
}

// smallPages keeps the host from putting huge pages behind m. It also keeps
// m's mappings apart from others of the process, which smaps would show as one
// with them, unless the host has no huge pages at all.
func smallPages(t *testing.T, m *Memory) {
	t.Helper()
	if err := m.HugePages(false); err != nil {
		t.Log(err)
	}
}

// readCost is what reading an untouched page costs this host: nothing, unless its kernel
// has no page of zeros for all that have only been read.
func readCost(t *testing.T) int {
	t.Helper()
	r := Range{0, 1 << 20}
	m := mapped(t, r)
	smallPages(t, m)
	page, err := m.Slice(PageSize, PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if page[0] != 0 {
		t.Fatal("untouched memory is not zero")
	}
	cost := int(smaps(t, m, r, "Rss"))
	if cost != 0 && cost != PageSize {
		t.Errorf("reading an untouched page makes %d bytes resident", cost)
	}
	return cost
}

func TestOnlyTouchedPagesAreResident(t *testing.T) {
	const gib = 1 << 30
	low, high := Range{0, 3 * gib}, Range{4 * gib, 13 * gib}
	m := mapped(t, low, high)
	resident := func() uint64 {
		smallPages(t, m)
		return smaps(t, m, low, "Rss") + smaps(t, m, high, "Rss")
	}
	if got := resident(); got != 0 {
		t.Errorf("new: %d bytes resident", got)
	}
	const touched = 10
	for i := range touched {
		if err := m.Store16(4*gib+Addr(i)*gib, 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := resident(); got != touched*PageSize {
		t.Errorf("after %d touched pages: %d bytes resident", touched, got)
	}
	if err := m.Zero(0, 3*gib); err != nil {
		t.Fatal(err)
	}
	if err := m.Zero(4*gib+PageSize, 100); err != nil { // part of an untouched page
		t.Fatal(err)
	}
	if got, want := resident(), uint64(touched*PageSize+readCost(t)); got != want {
		t.Errorf("after Zero of untouched memory: %d bytes resident, want %d", got, want)
	}
	if err := m.Zero(4*gib, 13*gib); err != nil {
		t.Fatal(err)
	}
	if got := resident(); got != 0 {
		t.Errorf("after Zero of everything: %d bytes resident", got)
	}
}

func TestHugePages(t *testing.T) {
	m := mapped(t, Range{0, 4 * hugePage})
	// EINVAL is the answer of a kernel that was built without huge pages.
	if err := m.HugePages(true); err != nil && !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	host, err := m.HostAddr(m.Ranges()[0])
	if err != nil {
		t.Fatal(err)
	}
	if host%hugePage != 0 {
		t.Errorf("host address %#x is not aligned to %#x: no huge page fits", host, hugePage)
	}
	if err := NewHeap(holed...).HugePages(true); err != nil {
		t.Errorf("on the heap: %v", err)
	}
}
