package kvm

import (
	"encoding/binary"
	"fmt"
	"structs"
	"sync/atomic"
	"unsafe"
)

// coalescedZone is struct kvm_coalesced_mmio_zone.
type coalescedZone struct {
	_    structs.HostLayout
	Addr uint64
	Size uint32
	PIO  uint32
}

// CoalesceMMIO makes KVM keep the guest's writes to size bytes from addr on in a
// ring instead of leaving the guest for each: see [VCPU.CoalescedWrite]. When
// the ring is full they exit as before (kvm-api KVM_REGISTER_COALESCED_MMIO, needs
// [CapCoalescedMMIO]).
func (vm *VM) CoalesceMMIO(addr uint64, size uint32) error {
	_, err := ioctl(vm.fd, reqRegisterCoalescedMMIO, &coalescedZone{Addr: addr, Size: size})
	return about(err, fmt.Sprintf("%#x", addr))
}

// The ring of coalesced writes (struct kvm_coalesced_mmio_ring) is a page behind
// each vCPU's run page, the same one for all vCPUs of a VM.
const (
	coalescedPage    = 2 // KVM_COALESCED_MMIO_PAGE_OFFSET, in pages from the run page
	pageSize         = 4096
	coalescedRing    = 8  // offset of the entries, behind first and last
	coalescedEntry   = 24 // sizeof(struct kvm_coalesced_mmio)
	coalescedEntries = (pageSize - coalescedRing) / coalescedEntry

	offCoalescedAddr = 0  // u64
	offCoalescedLen  = 8  // u32
	offCoalescedData = 16 // u8[8]
)

// CoalescedWrite takes the oldest of the writes that KVM has kept: its address
// and bytes, which are good until the next call. ok is false if there is none. The
// writes of all vCPUs are in one ring, in their order; only one goroutine at a
// time may take them.
func (c *VCPU) CoalescedWrite() (addr uint64, data []byte, ok bool) {
	if len(c.page) < (coalescedPage+1)*pageSize {
		return 0, nil, false
	}
	ring := c.page[coalescedPage*pageSize:][:pageSize]
	first := (*uint32)(unsafe.Pointer(unsafe.SliceData(ring))) // where we read next
	last := (*uint32)(unsafe.Pointer(&ring[4]))                // where KVM writes next
	i := atomic.LoadUint32(first)
	if i == atomic.LoadUint32(last) || i >= coalescedEntries { // the second cannot be: nobody else writes it
		return 0, nil, false
	}
	e := ring[coalescedRing+i*coalescedEntry:][:coalescedEntry]
	addr = binary.NativeEndian.Uint64(e[offCoalescedAddr:])
	n := min(binary.NativeEndian.Uint32(e[offCoalescedLen:]), maxMMIO)
	copy(c.coalesced[:], e[offCoalescedData:])
	// Released only now that it is copied: KVM may write the entry anew.
	atomic.StoreUint32(first, (i+1)%coalescedEntries)
	return addr, c.coalesced[:n], true
}
