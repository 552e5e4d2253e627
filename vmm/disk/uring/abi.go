package uring

import "structs"

// From linux/io_uring.h.
const (
	opReadv  = 1 // IORING_OP_READV
	opWritev = 2 // IORING_OP_WRITEV
	opFsync  = 3 // IORING_OP_FSYNC

	fsyncDatasync  = 1 << 0 // IORING_FSYNC_DATASYNC
	enterGetEvents = 1 << 0 // IORING_ENTER_GETEVENTS

	featSingleMmap    = 1 << 0 // IORING_FEAT_SINGLE_MMAP
	featNoDrop        = 1 << 1 // IORING_FEAT_NODROP
	featSubmitStable  = 1 << 2 // IORING_FEAT_SUBMIT_STABLE
	featNativeWorkers = 1 << 9 // IORING_FEAT_NATIVE_WORKERS

	offRings   = 0          // IORING_OFF_SQ_RING
	offEntries = 0x10000000 // IORING_OFF_SQES

	registerEventfdOp = 4 // IORING_REGISTER_EVENTFD

	cqEventfdDisabled = 1 << 0 // IORING_CQ_EVENTFD_DISABLED
)

// A params is struct io_uring_params.
type params struct {
	_            structs.HostLayout
	sqEntries    uint32
	cqEntries    uint32
	flags        uint32
	sqThreadCPU  uint32
	sqThreadIdle uint32
	features     uint32
	wqFD         uint32
	_            [3]uint32
	sqOff        sqOffsets
	cqOff        cqOffsets
}

// A sqOffsets is struct io_sqring_offsets.
type sqOffsets struct {
	_                                                        structs.HostLayout
	head, tail, ringMask, ringEntries, flags, dropped, array uint32
	_                                                        uint32
	_                                                        uint64
}

// A cqOffsets is struct io_cqring_offsets.
type cqOffsets struct {
	_                                                        structs.HostLayout
	head, tail, ringMask, ringEntries, overflow, cqes, flags uint32
	_                                                        uint32
	_                                                        uint64
}

// A sqe is struct io_uring_sqe: an operation.
type sqe struct {
	_        structs.HostLayout
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64
	addr     uint64
	len      uint32
	opFlags  uint32 // rw_flags, fsync_flags
	userData uint64
	_        [3]uint64
}

// A cqe is struct io_uring_cqe: a result.
type cqe struct {
	_        structs.HostLayout
	userData uint64
	res      int32
	flags    uint32
}
