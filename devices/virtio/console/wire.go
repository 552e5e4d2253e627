package console

import (
	"encoding/binary"
	"fmt"

	"microvm/devices"
	"microvm/devices/virtio"
)

var le = binary.LittleEndian

// Features of the device (virtio-v1.2 §5.3.3).
const (
	featureSize       virtio.Features = 1 << 0 // VIRTIO_CONSOLE_F_SIZE: cols and rows are valid
	featureMultiport  virtio.Features = 1 << 1 // VIRTIO_CONSOLE_F_MULTIPORT: there are control queues, and may be many ports
	featureEmergWrite virtio.Features = 1 << 2 // VIRTIO_CONSOLE_F_EMERG_WRITE: emerg_wr is there
)

// The queues (virtio-v1.2 §5.3.2). Those of port 0 come first, then the control
// queues, then those of the other ports.
const (
	queueControlReceive  = 2
	queueControlTransmit = 3
	queuesBeforePort1    = 4
)

// queuesOf are the numbers of a port's receiveq and transmitq.
func queuesOf(port int) (receive, transmit int) {
	if port == 0 {
		return 0, 1
	}
	first := queuesBeforePort1 + 2*(port-1)
	return first, first + 1
}

// The configuration space (virtio-v1.2 §5.3.4): le16 cols, le16 rows, le32
// max_nr_ports, le32 emerg_wr.
const configEmergWr = 8

// An event is the kind of a control message (virtio-v1.2 §5.3.6.2).
type event uint16

const (
	eventDeviceReady event = 0 // from the driver: it takes control messages
	eventPortAdd     event = 1 // to the driver: there is such a port
	eventPortReady   event = 3 // from the driver: it can use the port
	eventConsolePort event = 4 // to the driver: the port is a console
	eventResize      event = 5 // to the driver: the console's new size follows
	eventPortOpen    event = 6 // both ways: the sender's end of the port is open or closed
	eventPortName    event = 7 // to the driver: the port's name follows
)

// controlSize is the size of a control message without what follows it.
const controlSize = 8

// A message is a control message: struct virtio_console_control.
type message struct {
	port  uint32 // id
	event event
	value uint16
}

func (m message) append(b []byte) []byte {
	b = le.AppendUint32(b, m.port)
	b = le.AppendUint16(b, uint16(m.event))
	return le.AppendUint16(b, m.value)
}

func parseMessage(b [controlSize]byte) message {
	return message{le.Uint32(b[:]), event(le.Uint16(b[4:])), le.Uint16(b[6:])}
}

func broken(rule, format string, args ...any) *devices.GuestError {
	return &devices.GuestError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}
