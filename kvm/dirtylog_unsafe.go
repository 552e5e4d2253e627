package kvm

import (
	"fmt"
	"runtime"
	"structs"
	"unsafe"
)

// dirtyLog is struct kvm_dirty_log.
type dirtyLog struct {
	_      structs.HostLayout
	Slot   uint32
	_      uint32
	Bitmap unsafe.Pointer
}

// DirtyLog returns which pages of a slot with [SlotLogDirtyPages] the guest
// may have written since the last call, and begins anew (kvm-api
// KVM_GET_DIRTY_LOG). Bit n%64 of element n/64 is the slot's page n. A page
// that the guest only read may be among them: KVM maps it for writing then, if
// it can. What this process writes does not count.
//
// Preconditions: the slot has pages pages.
func (vm *VM) DirtyLog(slot uint32, pages uint64) ([]uint64, error) {
	bitmap := make([]uint64, (pages+63)/64)
	d := dirtyLog{Slot: slot, Bitmap: unsafe.Pointer(unsafe.SliceData(bitmap))}
	_, err := ioctl(vm.fd, reqGetDirtyLog, &d)
	runtime.KeepAlive(bitmap)
	if err != nil {
		return nil, about(err, fmt.Sprintf("slot %d", slot))
	}
	return bitmap, nil
}
