package virtio

import (
	"encoding/binary"
	"math"

	"microvm/kvm/guestmem"
)

var le = binary.LittleEndian

// An MMIO is a device behind the registers of the MMIO transport. It is a
// devices.Device of [Size] bytes.
type MMIO struct {
	*control
	// What the driver has selected; guarded by mu.
	deviceFeaturesSel, driverFeaturesSel, queueSel uint32
}

// NewMMIO puts dev behind MMIO registers. The error says that dev has more than
// [MaxQueues] or [MaxConfig], or that the host has no descriptors left.
func NewMMIO(dev Device, o Options) (*MMIO, error) {
	c, err := newControl(dev, o)
	if err != nil {
		return nil, err
	}
	return &MMIO{control: c}, nil
}

// Name implements devices.Device.
func (m *MMIO) Name() string { return m.control.Name }

// A Doorbell is an eventfd to be signalled by the kernel when the driver writes
// the queue's number to QueueNotify (RegQueueNotify).
type Doorbell struct {
	Queue uint32
	FD    int
}

// Doorbells are those of the queues but for the ones of a [Spinner]. A write that
// arrives here does the same.
func (m *MMIO) Doorbells() []Doorbell {
	var bells []Doorbell
	for i, bell := range m.doorbells {
		if !m.spins[i] {
			bells = append(bells, Doorbell{uint32(i), bell.Int()})
		}
	}
	return bells
}

// Stop ends the device's session, waits for it, and lets none begin. The
// vCPUs must have stopped.
func (m *MMIO) Stop() { m.stop() }

// Close gives the device's eventfds back, after Stop.
func (m *MMIO) Close() error { return m.close() }

// ReadIO implements devices.Device. What is no register, or not read with the
// width the driver must use (virtio-v1.2 §4.2.2.2), reads as zero.
func (m *MMIO) ReadIO(off uint64, p []byte) {
	if off == regInterruptStatus && len(p) == 4 {
		le.PutUint32(p, m.interruptStatus()) // without a lock, for the sake of its speed
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if off >= regConfig {
		m.readConfig(int(off-regConfig), p)
		return
	}
	clear(p)
	if len(p) == 4 {
		le.PutUint32(p, m.read(off))
	}
}

// read returns a register.
func (m *MMIO) read(off uint64) uint32 {
	switch off {
	case regMagicValue:
		return magicValue
	case regVersion:
		return version
	case regDeviceID:
		return uint32(m.dev.ID())
	case regVendorID:
		return vendorID
	case regDeviceFeatures:
		return m.offered.word(m.deviceFeaturesSel)
	case regQueueNumMax:
		if q := m.queue(); q != nil {
			return uint32(q.max)
		}
	case regQueueReady:
		if q := m.queue(); q != nil && q.ready {
			return 1
		}
	case regInterruptStatus:
		return m.interruptStatus()
	case regStatus:
		return uint32(m.status)
	case regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh:
		return noSHM
	case regConfigGeneration:
		m.refreshConfig()
		return m.generation
	}
	return 0
}

// queue is the selected queue, nil if there is none.
func (m *MMIO) queue() *queueSetup {
	if uint64(m.queueSel) >= uint64(len(m.queues)) {
		return nil
	}
	return &m.queues[m.queueSel]
}

// readConfig reads the configuration space; what is behind it reads as zero.
func (m *MMIO) readConfig(off int, p []byte) {
	m.refreshConfig()
	n := 0
	if off < len(m.config) {
		n = copy(p, m.config[off:])
	}
	clear(p[n:])
}

// WriteIO implements devices.Device. A write to what is no register, or of a
// width the driver must not use, has no effect.
func (m *MMIO) WriteIO(off uint64, p []byte) {
	switch {
	case off >= regConfig:
		m.writeConfig(int(off-regConfig), p)
		return
	case len(p) != 4:
		return
	}
	v := le.Uint32(p)
	switch off {
	case regInterruptACK:
		if m.acknowledge(v); m.Page == nil || v&interruptConfig == 0 {
			return // and not a reason to show the page again
		}
	case regQueueNotify:
		m.notify(v)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.write(off, v)
	m.show()
}

// notify wakes the device for a queue, where no ioeventfd does.
func (m *MMIO) notify(queue uint32) {
	if uint64(queue) >= uint64(len(m.doorbells)) {
		return // no rule says what a device does with the number of no queue
	}
	if err := m.doorbells[queue].Signal(); err != nil {
		m.Fail(err)
	}
	if m.spins[queue] {
		yield()
	}
}

func (m *MMIO) writeConfig(off int, p []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w, ok := m.dev.(ConfigWriter); ok && off+len(p) <= len(m.config) {
		w.WriteConfig(off, p)
		m.wroteConfig(off, len(p))
		m.show()
	}
}

// write writes a register.
func (m *MMIO) write(off uint64, v uint32) {
	switch off {
	case regDeviceFeaturesSel:
		m.deviceFeaturesSel = v
	case regDriverFeaturesSel:
		m.driverFeaturesSel = v
	case regDriverFeatures:
		m.acceptFeatures(v)
	case regQueueSel:
		m.queueSel = v
	case regQueueReady:
		m.setReady(v)
	case regStatus:
		if v > math.MaxUint8 {
			m.violated(broken("virtio-v1.2 §2.1", "the driver writes %#x to the status", v))
			return
		}
		m.setStatus(Status(v))
	case regQueueNum, regQueueDescLow, regQueueDescHigh, regQueueDriverLow, regQueueDriverHigh,
		regQueueDeviceLow, regQueueDeviceHigh:
		m.setUpQueue(off, v)
	}
}

// acceptFeatures is a write to DriverFeatures.
func (m *MMIO) acceptFeatures(word uint32) {
	if m.status&StatusFeaturesOK != 0 {
		m.violated(broken("virtio-v1.2 §3.1.1", "the driver accepts features after FEATURES_OK"))
		return
	}
	if m.driverFeaturesSel > 1 {
		if word != 0 {
			m.violated(broken("virtio-v1.2 §2.2.1", "the driver accepts features from bit %d on",
				uint64(m.driverFeaturesSel)*32))
		}
		return
	}
	shift := 32 * m.driverFeaturesSel
	m.accepted = m.accepted&^(0xffffffff<<shift) | Features(word)<<shift
}

// setUpQueue is a write to a register of the selected queue.
func (m *MMIO) setUpQueue(off uint64, v uint32) {
	q := m.queue()
	if q == nil {
		return
	}
	if q.ready {
		m.violated(broken("virtio-v1.2 §4.2.2.2", "the driver changes queue %d, which is ready", m.queueSel))
		return
	}
	switch off {
	case regQueueNum:
		// A size that no queue can have is refused when the session begins.
		q.Size = uint16(min(v, 0xffff))
	case regQueueDescLow:
		setLow(&q.Desc, v)
	case regQueueDescHigh:
		setHigh(&q.Desc, v)
	case regQueueDriverLow:
		setLow(&q.Driver, v)
	case regQueueDriverHigh:
		setHigh(&q.Driver, v)
	case regQueueDeviceLow:
		setLow(&q.Device, v)
	case regQueueDeviceHigh:
		setHigh(&q.Device, v)
	}
}

func setLow(a *guestmem.Addr, v uint32)  { *a = *a>>32<<32 | guestmem.Addr(v) }
func setHigh(a *guestmem.Addr, v uint32) { *a = *a&0xffffffff | guestmem.Addr(v)<<32 }

// setReady is a write to QueueReady. The queues of a session are those that
// are ready when it begins. A driver that takes one back (virtio-v1.2 §4.2.2.2)
// ends the session, since "the device MUST NOT access virtqueue contents when
// QueueReady is zero" and a session has all its queues or none.
func (m *MMIO) setReady(v uint32) {
	q := m.queue()
	switch {
	case q == nil || q.ready == (v == 1):
	case m.session == nil:
		q.ready = v == 1
	case v == 0:
		q.ready = false
		m.breakDown(broken("virtio-v1.2 §4.2.2.2", "the driver takes queue %d from a running device", m.queueSel))
	default:
		m.violated(broken("virtio-v1.2 §3.1.1", "the driver sets up queue %d of a running device", m.queueSel))
	}
}
