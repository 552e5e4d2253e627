package vsock

import "encoding/binary"

var le = binary.LittleEndian

// Context IDs that are no guest's (virtio-v1.2 §5.10.4).
const (
	HostCID = 2          // the host
	AnyCID  = 0xffffffff // reserved, as are 0 and 1
)

// The queues (virtio-v1.2 §5.10.2). Names are the driver's view: the device
// writes to rx and reads from tx.
const (
	rxQueue    = 0
	txQueue    = 1
	eventQueue = 2
	queueCount = 3
)

// featureStream is VIRTIO_VSOCK_F_STREAM (virtio-v1.2 §5.10.3).
const featureStream = 1 << 0

// typeStream is VIRTIO_VSOCK_TYPE_STREAM, the only type of socket that there is
// here (virtio-v1.2 §5.10.6.2).
const typeStream = 1

// Operations of a packet: VIRTIO_VSOCK_OP_* (virtio-v1.2 §5.10.6).
const (
	opRequest       = 1 // connect
	opResponse      = 2 // connected
	opRST           = 3 // refused, or ended
	opShutdown      = 4 // no more of what the flags say
	opRW            = 5 // data
	opCreditUpdate  = 6 // nothing but buf_alloc and fwd_cnt, which all packets have
	opCreditRequest = 7 // asks for opCreditUpdate
)

// Flags of opShutdown: VIRTIO_VSOCK_SHUTDOWN_F_* (virtio-v1.2 §5.10.6.5).
const (
	shutdownReceive = 1 << 0 // the sender receives no more data
	shutdownSend    = 1 << 1 // the sender sends no more data
	shutdownBoth    = shutdownReceive | shutdownSend
)

// headerSize is the size of struct virtio_vsock_hdr in bytes.
const headerSize = 44

// A header is struct virtio_vsock_hdr (virtio-v1.2 §5.10.6).
type header struct {
	srcCID, dstCID   uint64
	srcPort, dstPort uint32
	len              uint32 // of the data that follows, in bytes
	typ, op          uint16
	flags            uint32
	bufAlloc, fwdCnt uint32 // see credit
}

func parseHeader(b *[headerSize]byte) header {
	return header{
		srcCID: le.Uint64(b[0:]), dstCID: le.Uint64(b[8:]),
		srcPort: le.Uint32(b[16:]), dstPort: le.Uint32(b[20:]),
		len: le.Uint32(b[24:]), typ: le.Uint16(b[28:]), op: le.Uint16(b[30:]),
		flags: le.Uint32(b[32:]), bufAlloc: le.Uint32(b[36:]), fwdCnt: le.Uint32(b[40:]),
	}
}

// append appends the header as it is in memory to b.
func (h *header) append(b []byte) []byte {
	b = le.AppendUint64(b, h.srcCID)
	b = le.AppendUint64(b, h.dstCID)
	b = le.AppendUint32(b, h.srcPort)
	b = le.AppendUint32(b, h.dstPort)
	b = le.AppendUint32(b, h.len)
	b = le.AppendUint16(b, h.typ)
	b = le.AppendUint16(b, h.op)
	b = le.AppendUint32(b, h.flags)
	b = le.AppendUint32(b, h.bufAlloc)
	return le.AppendUint32(b, h.fwdCnt)
}

// refusal is the RST in answer to h, from where h was sent to.
func (h *header) refusal() header {
	return header{
		srcCID: h.dstCID, dstCID: h.srcCID, srcPort: h.dstPort, dstPort: h.srcPort,
		typ: h.typ, op: opRST,
	}
}
