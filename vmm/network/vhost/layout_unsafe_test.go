package vhost

import (
	"testing"
	"unsafe"
)

// Sizes and offsets in linux vhost_types.h, vhost.h.
func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"vhost_memory", unsafe.Offsetof(memory{}.Regions), 8},
		{"vhost_memory_region", unsafe.Sizeof(region{}), 32},
		{"vhost_memory_region.memory_size", unsafe.Offsetof(region{}.MemorySize), 8},
		{"vhost_memory_region.userspace_addr", unsafe.Offsetof(region{}.UserspaceAddr), 16},
		{"vhost_vring_state", unsafe.Sizeof(vringState{}), 8},
		{"vhost_vring_file", unsafe.Sizeof(vringFile{}), 8},
		{"vhost_vring_file.fd", unsafe.Offsetof(vringFile{}.FD), 4},
		{"vhost_vring_addr", unsafe.Sizeof(vringAddr{}), 40},
		{"vhost_vring_addr.desc_user_addr", unsafe.Offsetof(vringAddr{}.Desc), 8},
		{"vhost_vring_addr.used_user_addr", unsafe.Offsetof(vringAddr{}.Used), 16},
		{"vhost_vring_addr.avail_user_addr", unsafe.Offsetof(vringAddr{}.Avail), 24},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d, the header has %d", tt.name, tt.got, tt.want)
		}
	}
}
