package vhost

import "structs"

// Requests (linux vhost.h). All but the first two are about one device file, and
// a ring is of one of its two queues.
const (
	reqGetFeatures   = 0x8008af00 // VHOST_GET_FEATURES: u64, virtio's feature bits
	reqSetFeatures   = 0x4008af00 // VHOST_SET_FEATURES
	reqSetOwner      = 0x0000af01 // VHOST_SET_OWNER: this process's memory is meant
	reqSetMemTable   = 0x4008af03 // VHOST_SET_MEM_TABLE
	reqSetVringNum   = 0x4008af10 // VHOST_SET_VRING_NUM: entries
	reqSetVringAddr  = 0x4028af11 // VHOST_SET_VRING_ADDR
	reqSetVringBase  = 0x4008af12 // VHOST_SET_VRING_BASE: the first index of the available ring
	reqSetVringKick  = 0x4008af20 // VHOST_SET_VRING_KICK: the eventfd by which the driver notifies
	reqSetVringCall  = 0x4008af21 // VHOST_SET_VRING_CALL: the eventfd that interrupts the driver
	reqSetVringErr   = 0x4008af22 // VHOST_SET_VRING_ERR: the eventfd that says that the ring is broken
	reqNetSetBackend = 0x4008af30 // VHOST_NET_SET_BACKEND: the tap's file, or noFile to stop
)

var requestNames = map[uint]string{
	reqGetFeatures: "VHOST_GET_FEATURES", reqSetFeatures: "VHOST_SET_FEATURES", reqSetOwner: "VHOST_SET_OWNER",
	reqSetMemTable: "VHOST_SET_MEM_TABLE", reqSetVringNum: "VHOST_SET_VRING_NUM", reqSetVringAddr: "VHOST_SET_VRING_ADDR",
	reqSetVringBase: "VHOST_SET_VRING_BASE", reqSetVringKick: "VHOST_SET_VRING_KICK", reqSetVringCall: "VHOST_SET_VRING_CALL",
	reqSetVringErr: "VHOST_SET_VRING_ERR", reqNetSetBackend: "VHOST_NET_SET_BACKEND",
}

// Rings of a device file (linux vhost.h VHOST_NET_VQ_RX, VHOST_NET_VQ_TX).
const (
	ringReceive  = 0
	ringTransmit = 1
)

// noFile unbinds a file (linux vhost.h VHOST_FILE_UNBIND).
const noFile = -1

// maxRegions is more than the ranges that guest RAM is in, and less than what the
// kernel takes, 64 at least.
const maxRegions = 8

// memory is struct vhost_memory with its regions.
type memory struct {
	_        structs.HostLayout
	NRegions uint32
	_        uint32
	Regions  [maxRegions]region
}

// region is struct vhost_memory_region.
type region struct {
	_             structs.HostLayout
	GuestPhysAddr uint64
	MemorySize    uint64
	UserspaceAddr uint64
	_             uint64
}

// vringState is struct vhost_vring_state.
type vringState struct {
	_     structs.HostLayout
	Index uint32
	Num   uint32
}

// vringFile is struct vhost_vring_file.
type vringFile struct {
	_     structs.HostLayout
	Index uint32
	FD    int32
}

// vringAddr is struct vhost_vring_addr: addresses in this process.
type vringAddr struct {
	_     structs.HostLayout
	Index uint32
	Flags uint32
	Desc  uint64
	Used  uint64
	Avail uint64
	Log   uint64
}
