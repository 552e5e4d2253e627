package balloon

import (
	"encoding/binary"

	"microvm/devices/virtio"
	"microvm/kvm/guestmem"
)

var le = binary.LittleEndian

// Feature bits (virtio-v1.2 §5.5.3).
const (
	FeatureStatsVQ       virtio.Features = 1 << 1 // VIRTIO_BALLOON_F_STATS_VQ: the driver tells of the guest's memory
	FeatureDeflateOnOOM  virtio.Features = 1 << 2 // VIRTIO_BALLOON_F_DEFLATE_ON_OOM: it may take pages back when short
	FeaturePageReporting virtio.Features = 1 << 5 // VIRTIO_BALLOON_F_PAGE_REPORTING: it tells which pages are free
)

// The queues (virtio-v1.2 §5.5.2).
const (
	inflateQ = iota
	deflateQ
	statsQ
	freePageQ // of a feature that is not offered
	reportingQ
	numQueues
)

// PageSize is the size in bytes of what a PFN stands for, whatever the guest's
// pages are (virtio-v1.2 §5.5.6).
const PageSize = 4096

// pfnSize is the size in bytes of a page's number in a request: le32.
const pfnSize = 4

// pageAt is the address of the page of number pfn.
func pageAt(pfn uint32) guestmem.Addr { return guestmem.Addr(pfn) * PageSize }

// The configuration space (virtio-v1.2 §5.5.4), of which the fields behind
// actual belong to features that are not offered.
const (
	configActual = 4 // offset of actual: le32, the pages in the balloon; the driver writes it
	fieldSize    = 4
)

// appendConfig appends the configuration space.
func appendConfig(b []byte, numPages, actual uint32) []byte {
	return le.AppendUint32(le.AppendUint32(b, numPages), actual)
}

// A stat is an entry of the statistics: le16 tag, le64 value, packed
// (virtio-v1.2 §5.5.6.3).
const (
	statSize = 10
	statVal  = 2 // offset of the value
)

// statNames are the names of the statistics by tag (virtio-v1.2 §5.5.6.4).
var statNames = [...]string{
	"guest: swapped in bytes",
	"guest: swapped out bytes",
	"guest: major page faults",
	"guest: minor page faults",
	"guest: free bytes",
	"guest: total bytes",
	"guest: available bytes",
	"guest: disk cache bytes",
	"guest: huge pages allocated",
	"guest: huge pages not to be had",
}
