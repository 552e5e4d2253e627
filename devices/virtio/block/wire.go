package block

import (
	"encoding/binary"

	"microvm/devices/virtio"
)

var le = binary.LittleEndian

// Features of the type that the device knows (virtio-v1.2 §5.2.3).
const (
	featureSizeMax     virtio.Features = 1 << 1  // VIRTIO_BLK_F_SIZE_MAX
	featureSegMax      virtio.Features = 1 << 2  // VIRTIO_BLK_F_SEG_MAX
	featureRO          virtio.Features = 1 << 5  // VIRTIO_BLK_F_RO
	featureBlkSize     virtio.Features = 1 << 6  // VIRTIO_BLK_F_BLK_SIZE
	featureFlush       virtio.Features = 1 << 9  // VIRTIO_BLK_F_FLUSH
	featureTopology    virtio.Features = 1 << 10 // VIRTIO_BLK_F_TOPOLOGY
	featureConfigWCE   virtio.Features = 1 << 11 // VIRTIO_BLK_F_CONFIG_WCE
	featureMQ          virtio.Features = 1 << 12 // VIRTIO_BLK_F_MQ
	featureDiscard     virtio.Features = 1 << 13 // VIRTIO_BLK_F_DISCARD
	featureWriteZeroes virtio.Features = 1 << 14 // VIRTIO_BLK_F_WRITE_ZEROES
)

// Types of requests (virtio-v1.2 §5.2.6).
const (
	typeIn          = 0  // VIRTIO_BLK_T_IN
	typeOut         = 1  // VIRTIO_BLK_T_OUT
	typeFlush       = 4  // VIRTIO_BLK_T_FLUSH
	typeGetID       = 8  // VIRTIO_BLK_T_GET_ID
	typeDiscard     = 11 // VIRTIO_BLK_T_DISCARD
	typeWriteZeroes = 13 // VIRTIO_BLK_T_WRITE_ZEROES
)

// A status is how a request ended (virtio-v1.2 §5.2.6).
type status byte

const (
	statusOK     status = 0 // VIRTIO_BLK_S_OK
	statusIOErr  status = 1 // VIRTIO_BLK_S_IOERR
	statusUnsupp status = 2 // VIRTIO_BLK_S_UNSUPP
)

// Sizes in bytes (virtio-v1.2 §5.2.4, §5.2.6).
const (
	SectorSize  = 512 // of what capacity and sector count, whatever blk_size is
	MaxID       = 20  // of the answer to GET_ID
	headerSize  = 16
	segmentSize = 16 // struct virtio_blk_discard_write_zeroes
	statusSize  = 1
	configSize  = 60 // up to unused1; the rest is of features not offered
)

// A header is how a request begins (virtio-v1.2 §5.2.6 struct virtio_blk_req).
type header struct {
	kind   uint32
	sector uint64
}

func parseHeader(b *[headerSize]byte) header {
	return header{le.Uint32(b[:]), le.Uint64(b[8:])} // between them: reserved
}

// A segment is a range to discard or to zero (virtio-v1.2 §5.2.6 struct
// virtio_blk_discard_write_zeroes).
type segment struct {
	sector  uint64
	sectors uint32
	flags   uint32
}

// flagUnmap is the only flag of a segment that there is.
const flagUnmap = 1 << 0

func parseSegment(b *[segmentSize]byte) segment {
	return segment{le.Uint64(b[:]), le.Uint32(b[8:]), le.Uint32(b[12:])}
}

// offWriteback is where the configuration space has writeback, the one field
// that a driver may write.
const offWriteback = 32

// appendConfig appends the configuration space (virtio-v1.2 §5.2.4).
func (d *Device) appendConfig(b []byte) []byte {
	info := &d.info
	b = le.AppendUint64(b, uint64(info.Size/SectorSize)) // capacity
	b = le.AppendUint32(b, sizeMax)
	b = le.AppendUint32(b, segMax)
	b = le.AppendUint32(b, 0)                             // geometry: none
	b = le.AppendUint32(b, info.BlockSize)                // blk_size
	b = append(b, info.physicalExponent(), 0)             // physical_block_exp, alignment_offset
	b = le.AppendUint16(b, 1<<info.physicalExponent())    // min_io_size in blocks
	b = le.AppendUint32(b, 0)                             // opt_io_size: none
	b = append(b, bit(d.writeback.Load()), 0)             // writeback, unused0
	b = le.AppendUint16(b, uint16(d.queues))              // num_queues
	b = le.AppendUint32(b, maxDiscardSectors)             // max_discard_sectors
	b = le.AppendUint32(b, 1)                             // max_discard_seg
	b = le.AppendUint32(b, info.PhysicalBlock/SectorSize) // discard_sector_alignment
	b = le.AppendUint32(b, maxZeroesSectors)              // max_write_zeroes_sectors
	b = le.AppendUint32(b, 1)                             // max_write_zeroes_seg
	return append(b, bit(!info.ReadOnly), 0, 0, 0)        // write_zeroes_may_unmap, unused1
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
