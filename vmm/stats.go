package vmm

import (
	"time"

	"microvm/boot"
	"microvm/devices/serial"
	"microvm/devices/virtio"
)

// Stats is what a machine did, for a person or a program to read. Counts of
// exits do not depend on how busy the host is, so they compare across runs.
type Stats struct {
	Exits    []ExitCount    `json:"exits"`     // by reason, most first
	Accesses []Access       `json:"accesses"`  // exits for a device's register, most first
	KVM      []KVMCount     `json:"kvm"`       // KVM's own counts, in its order
	Timeline []Event        `json:"timeline"`  // in order of time
	Console  serial.Counts  `json:"console"`   // bytes over the console: the serial port, and hvc0 if there is one
	Virtio   []virtio.Stats `json:"virtio"`    // the virtio devices, in the guest's order
	Outcome  Outcome        `json:"outcome"`   // how the guest ended
	GuestRAM uint64         `json:"guest_ram"` // bytes
	CPUs     int            `json:"cpus"`
	Boot     BootStats      `json:"boot"`
}

// noNulls makes the lists that are nil empty, so that a program that reads the
// JSON finds a list in each place, not null.
func (s *Stats) noNulls() {
	s.Exits, s.Accesses = list(s.Exits), list(s.Accesses)
	s.KVM, s.Timeline, s.Boot.Phases = list(s.KVM), list(s.Timeline), list(s.Boot.Phases)
	s.Virtio = list(s.Virtio)
}

// list is l, or an empty list if l is nil.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// BootStats say how kernel and initrd came into memory.
type BootStats struct {
	Entry      boot.Entry   `json:"kernel_entry"`          // how the kernel was entered
	CacheHit   bool         `json:"cache_hit"`             // the decompressed kernel was in the cache
	CacheError string       `json:"cache_error,omitempty"` // why the cache was not used, though it was wanted
	Mapped     uint64       `json:"mapped_bytes"`          // of kernel and initrd: the files' own pages
	Copied     uint64       `json:"copied_bytes"`
	Phases     []boot.Phase `json:"phases"`
}

// An ExitCount is how often vCPUs left the guest for one reason, and for how
// long the monitor then worked before it entered the guest again.
type ExitCount struct {
	Reason  string        `json:"reason"` // as KVM names it: KVM_EXIT_…
	Count   uint64        `json:"count"`
	Handled time.Duration `json:"handled_ns"` // total time in the monitor, 0 unless Config.TimeExits
}

// A KVMCount is one of KVM's own counts, summed over the vCPUs, under KVM's name.
// Most exits are answered in KVM and are seen here only. Counts of 0 are left
// out, and there are none on a host without KVM_CAP_BINARY_STATS_FD.
type KVMCount struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// An Access counts exits for one register of one device.
type Access struct {
	Device string `json:"device"` // its name, "none" where no device answered
	Space  Space  `json:"space"`
	Addr   uint64 `json:"addr"`
	Offset uint64 `json:"offset"` // in the device's register block
	Write  bool   `json:"write"`
	Count  uint64 `json:"count"`
	Bytes  uint64 `json:"bytes"`
}

// A Space is an address space with devices in it.
type Space string

const (
	SpacePort Space = "port" // the x86 I/O ports
	SpaceMMIO Space = "mmio" // guest-physical addresses that are not RAM
)

// An Event is a point on the timeline of a start.
type Event struct {
	Name  string        `json:"name"`            // EventFirstRun and so on, such as "first KVM_RUN"
	At    time.Duration `json:"at_ns"`           // since Config.Started
	Stage int           `json:"stage,omitempty"` // for a guest mark: which
	Exits uint64        `json:"exits"`           // of all vCPUs until then
}
