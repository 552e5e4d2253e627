package virtio

import (
	"fmt"
	"strings"
)

// Features is a set of feature bits (virtio-v1.2 §2.2). There are 128, and none
// above 63 is used yet.
type Features uint64

// Features of rings and transport (virtio-v1.2 §6).
const (
	FeatureIndirectDesc Features = 1 << 28 // VIRTIO_F_INDIRECT_DESC: a descriptor may refer to a table of them
	FeatureEventIdx     Features = 1 << 29 // VIRTIO_F_EVENT_IDX: notifications are asked for by index
	FeatureVersion1     Features = 1 << 32 // VIRTIO_F_VERSION_1: not a legacy driver
	FeatureRingPacked   Features = 1 << 34 // VIRTIO_F_RING_PACKED: packed virtqueues
)

// ringFeatures are offered by the transport for each device, and RING_PACKED if
// its options say so.
const ringFeatures = FeatureIndirectDesc | FeatureEventIdx | FeatureVersion1

var ringFeatureNames = map[Features]string{
	FeatureIndirectDesc: "INDIRECT_DESC",
	FeatureEventIdx:     "EVENT_IDX",
	FeatureVersion1:     "VERSION_1",
	FeatureRingPacked:   "RING_PACKED",
}

// String lists the bits by their number, those of the rings by their name.
func (f Features) String() string {
	var names []string
	for bit := range 64 {
		one := Features(1) << bit
		if f&one == 0 {
			continue
		}
		name := ringFeatureNames[one]
		if name == "" {
			name = fmt.Sprintf("bit %d", bit)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// word returns the 32 bits of f that sel selects (virtio-v1.2 §4.2.2
// DeviceFeaturesSel); there are none beyond the second word.
func (f Features) word(sel uint32) uint32 {
	if sel > 1 {
		return 0
	}
	return uint32(f >> (32 * sel))
}

// checkFeatures returns what is wrong with the features that a driver wants.
func checkFeatures(dev Device, offered, wanted Features) error {
	if unknown := wanted &^ offered; unknown != 0 {
		return broken("virtio-v1.2 §2.2.1", "the driver accepts features that are not offered: %v", unknown)
	}
	if wanted&FeatureVersion1 == 0 {
		return broken("virtio-v1.2 §6.1", "the driver does not accept VERSION_1")
	}
	if c, ok := dev.(FeatureChecker); ok {
		return c.CheckFeatures(wanted)
	}
	return nil
}
