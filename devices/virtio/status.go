package virtio

import (
	"fmt"
	"strings"
)

// Status is the device status field (virtio-v1.2 §2.1).
type Status uint8

// Bits of the device status, in the order in which a driver sets them.
const (
	StatusAcknowledge Status = 1 << 0 // the guest has noticed the device
	StatusDriver      Status = 1 << 1 // it knows how to drive it
	StatusFeaturesOK  Status = 1 << 3 // features are negotiated
	StatusDriverOK    Status = 1 << 2 // the driver is ready: the session begins
	StatusNeedsReset  Status = 1 << 6 // set by the device: it cannot go on
	StatusFailed      Status = 1 << 7 // the guest has given up
)

var statusNames = []struct {
	bit  Status
	name string
}{
	{StatusAcknowledge, "ACKNOWLEDGE"},
	{StatusDriver, "DRIVER"},
	{StatusFeaturesOK, "FEATURES_OK"},
	{StatusDriverOK, "DRIVER_OK"},
	{StatusNeedsReset, "DEVICE_NEEDS_RESET"},
	{StatusFailed, "FAILED"},
}

func (s Status) String() string {
	if s == 0 {
		return "reset"
	}
	var names []string
	for _, n := range statusNames {
		if s&n.bit != 0 {
			names = append(names, n.name)
			s &^= n.bit
		}
	}
	if s != 0 {
		names = append(names, fmt.Sprintf("%#x", uint8(s)))
	}
	return strings.Join(names, "|")
}

// driverBits are the bits that a driver may set.
const driverBits = StatusAcknowledge | StatusDriver | StatusFeaturesOK | StatusDriverOK | StatusFailed

// needs says for each bit which bits a driver must have set before
// (virtio-v1.2 §3.1.1 has the order).
var needs = []struct{ bit, before Status }{
	{StatusDriver, StatusAcknowledge},
	{StatusFeaturesOK, StatusAcknowledge | StatusDriver},
	{StatusDriverOK, StatusAcknowledge | StatusDriver | StatusFeaturesOK},
}

// added returns the bits that a driver sets which reads old and writes written,
// or what is wrong with that. Bits that are set stay so until a reset
// (virtio-v1.2 §2.1.1: "The driver MUST NOT clear a device status bit").
func (old Status) added(written Status) (Status, error) {
	if unknown := written &^ (driverBits | old); unknown != 0 {
		return 0, broken("virtio-v1.2 §2.1", "the driver sets status %v", unknown)
	}
	if cleared := old &^ (written | StatusNeedsReset); cleared != 0 {
		return 0, broken("virtio-v1.2 §2.1.1", "the driver clears status %v without a reset", cleared)
	}
	bits := written &^ old
	for _, n := range needs {
		if bits&n.bit != 0 && (old|bits)&n.before != n.before {
			return 0, broken("virtio-v1.2 §3.1.1", "the driver sets %v in status %v", bits, old)
		}
	}
	return bits, nil
}
