package block

import (
	"errors"
	"fmt"

	"microvm/devices"
	"microvm/devices/virtio/virtq"
)

// A request is a chain while the device has it.
type request struct {
	chain virtq.Chain
	op    Op
	kind  uint32 // its type, as the driver said

	in     virtq.Buffers // room for data
	status virtq.Buffers // room for the status
	pieces [][]byte      // op.Data's, kept for the next request
	header [headerSize]byte
}

// limits are what requests are checked against.
type limits struct {
	Info
	id      [MaxID]byte
	durable bool // writes are to be durable when they are done
	discard bool // DISCARD is negotiated
	zeroes  bool // WRITE_ZEROES is negotiated
}

// parse reads a request. If op is to be done for it, start is true; otherwise s
// is its status at once. It does no I/O. The error is a [*devices.GuestError].
func (r *request) parse(l *limits) (s status, start bool, err error) {
	c := &r.chain
	if n, _ := c.Reader.Read(r.header[:]); n < headerSize {
		return 0, false, broken("a request of %d bytes; its header alone has %d", n, headerSize)
	}
	if c.Writer.Len() < statusSize {
		return 0, false, broken("a request without room for its status")
	}
	if n := max(c.Reader.Len(), c.Writer.Len()-statusSize); n > sizeMax*segMax {
		return 0, false, &devices.GuestError{Rule: "virtio-v1.2 §5.2.4",
			Detail: fmt.Sprintf("%d bytes of data; the device takes %d segments of %d", n, segMax, sizeMax)}
	}
	r.in, r.status = c.Writer.SplitAt(c.Writer.Len() - statusSize)

	h := parseHeader(&r.header)
	r.kind = h.kind
	r.op = Op{Slot: r.op.Slot}
	switch h.kind {
	case typeIn:
		return r.transfer(l, Read, h.sector, &r.in)
	case typeOut:
		return r.transfer(l, Write, h.sector, &c.Reader.Buffers)
	case typeFlush:
		r.op.Kind = Flush
		return statusOK, true, nil
	case typeGetID:
		return r.getID(l), false, nil
	case typeDiscard, typeWriteZeroes:
		return r.segment(l, h.kind)
	}
	return statusUnsupp, false, nil
}

func broken(format string, args ...any) *devices.GuestError {
	return &devices.GuestError{Rule: "virtio-v1.2 §5.2.6", Detail: fmt.Sprintf(format, args...)}
}

// transfer is a request to read or write all of data from sector on.
func (r *request) transfer(l *limits, kind OpKind, sector uint64, data *virtq.Buffers) (status, bool, error) {
	n := data.Len()
	if kind == Write && l.ReadOnly || n%SectorSize != 0 || !l.within(sector, uint64(n/SectorSize)) {
		return statusIOErr, false, nil
	}
	r.op.Kind, r.op.Off, r.op.Len = kind, int64(sector)*SectorSize, int64(n)
	r.op.Durable = l.durable
	all := *data // which stays as it is, for the case that r fails
	r.pieces = all.Next(r.pieces[:0], n)
	r.op.Data = r.pieces
	return statusOK, n > 0, nil
}

// within reports whether n sectors from sector on are in the image.
func (l *limits) within(sector, n uint64) bool {
	capacity := uint64(l.Size) / SectorSize
	return sector <= capacity && n <= capacity-sector
}

// getID answers with the disk's serial number.
func (r *request) getID(l *limits) status {
	if r.in.Len() != MaxID {
		return statusIOErr
	}
	w := virtq.Writer{Buffers: r.in}
	w.Write(l.id[:]) // for which there is room
	return statusOK
}

// segment is a request to discard or to zero a range. The device takes one
// segment at a time.
func (r *request) segment(l *limits, kind uint32) (status, bool, error) {
	op, offered, most := Discard, l.discard, uint32(maxDiscardSectors)
	if kind == typeWriteZeroes {
		op, offered, most = WriteZeroes, l.zeroes, maxZeroesSectors
	}
	switch {
	case l.ReadOnly:
		return statusIOErr, false, nil
	case !offered:
		return statusUnsupp, false, nil
	case r.chain.Reader.Len() != segmentSize:
		return statusIOErr, false, nil
	}
	r.chain.Reader.Read(r.header[:]) // segmentSize bytes, which are there
	seg := parseSegment(&r.header)
	unmap := seg.flags&flagUnmap != 0
	switch {
	case seg.flags&^flagUnmap != 0, op == Discard && unmap:
		return statusUnsupp, false, nil
	case seg.sectors > most || !l.within(seg.sector, uint64(seg.sectors)):
		return statusIOErr, false, nil
	}
	r.op.Kind, r.op.Off, r.op.Len = op, int64(seg.sector)*SectorSize, int64(seg.sectors)*SectorSize
	r.op.Unmap, r.op.Durable = unmap, l.durable
	return statusOK, seg.sectors > 0, nil
}

// result is the status of a request whose operation is done.
func (r *request) result() status {
	switch {
	case r.op.Err == nil:
		return statusOK
	case errors.Is(r.op.Err, errors.ErrUnsupported):
		return statusUnsupp
	}
	return statusIOErr
}

// answer writes the status, and returns the number of bytes that the driver
// gets. If there is no data to get, the room for it is zeroed: the driver is
// told how many bytes are written from the first on (virtio-v1.2 §2.7.8.1), and
// the last of them is the status.
func (r *request) answer(s status) (written int) {
	written = r.in.Len() + statusSize
	if s != statusOK || r.kind != typeIn && r.kind != typeGetID {
		r.pieces = r.in.Next(r.pieces[:0], r.in.Len())
		for _, p := range r.pieces {
			clear(p)
		}
	}
	w := virtq.Writer{Buffers: r.status}
	b := [statusSize]byte{byte(s)}
	w.Write(b[:]) // for which there is room
	return written
}
