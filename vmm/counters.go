package vmm

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxAccessCounters bounds how many different registers a vCPU's counters tell
// apart: a guest that walks an empty address space makes a new one at each
// step. What is over it is counted as one.
const maxAccessCounters = 4096

// An accessKey tells one register of the machine from another.
type accessKey struct {
	space  Space
	addr   uint64
	write  bool
	others bool // all registers beyond maxAccessCounters
}

// A counter is how often, and for how many bytes, a register was accessed.
type counter struct {
	device       string
	offset       uint64
	count, bytes uint64
}

// counters is what one vCPU has done. The vCPU's thread writes it and Stats
// reads it, so that the lock is free nearly always.
type counters struct {
	mu       sync.Mutex
	exits    map[string]*ExitCount // guarded by mu
	accesses map[accessKey]*counter
	total    uint64
}

func newCounters() *counters {
	return &counters{exits: make(map[string]*ExitCount), accesses: make(map[accessKey]*counter)}
}

// exit counts one exit that took the monitor d to handle.
func (c *counters) exit(reason string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.exits[reason]
	if e == nil {
		e = &ExitCount{Reason: reason}
		c.exits[reason] = e
	}
	e.Count++
	e.Handled += d
	c.total++
}

// access counts one access to a register; a string instruction makes many in
// one exit.
func (c *counters) access(key accessKey, device string, offset, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.accesses[key]
	if n == nil {
		if len(c.accesses) >= maxAccessCounters {
			key, device, offset = accessKey{space: key.space, write: key.write, others: true}, "others", 0
			n = c.accesses[key]
		}
		if n == nil {
			n = &counter{device: device, offset: offset}
			c.accesses[key] = n
		}
	}
	n.count++
	n.bytes += bytes
}

// sum adds up the counters of all vCPUs, the most frequent first.
func sum(all []*counters) ([]ExitCount, []Access) {
	exits := make(map[string]ExitCount)
	accesses := make(map[accessKey]Access)
	for _, c := range all {
		c.mu.Lock()
		for reason, e := range c.exits {
			t := exits[reason]
			exits[reason] = ExitCount{Reason: reason, Count: t.Count + e.Count, Handled: t.Handled + e.Handled}
		}
		for key, n := range c.accesses {
			t := accesses[key]
			accesses[key] = Access{
				Device: n.device, Space: key.space, Addr: key.addr, Offset: n.offset, Write: key.write,
				Count: t.Count + n.count, Bytes: t.Bytes + n.bytes,
			}
		}
		c.mu.Unlock()
	}
	byCount := slices.SortedFunc(maps.Values(exits), func(a, b ExitCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return byCount, slices.SortedFunc(maps.Values(accesses), func(a, b Access) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Space, b.Space), cmp.Compare(a.Addr, b.Addr),
			cmp.Compare(a.Device, b.Device), readsFirst(a.Write, b.Write))
	})
}

func readsFirst(aWrites, bWrites bool) int {
	switch {
	case aWrites == bWrites:
		return 0
	case bWrites:
		return -1
	}
	return 1
}

// exitsSoFar is the number of exits of all vCPUs.
func exitsSoFar(all []*counters) uint64 {
	var n uint64
	for _, c := range all {
		c.mu.Lock()
		n += c.total
		c.mu.Unlock()
	}
	return n
}

// kvmCounts adds up KVM's own counts of all vCPUs. A host without them, or a
// machine that is closed, has none.
func (m *Machine) kvmCounts() []KVMCount {
	var counts []KVMCount
	index := make(map[string]int)
	for _, c := range m.cpus {
		stats, err := c.fd.Stats()
		if err != nil {
			return nil
		}
		for _, s := range stats {
			i, seen := index[s.Name]
			if !seen {
				i = len(counts)
				index[s.Name] = i
				counts = append(counts, KVMCount{Name: s.Name})
			}
			counts[i].Count += s.Value
		}
	}
	return slices.DeleteFunc(counts, func(c KVMCount) bool { return c.Count == 0 })
}
