// Package virtiotest is a driver for tests of virtio devices: it finds a device
// behind its MMIO registers, sets up its queues in guest memory, and talks to it in
// the words of virtio-v1.2, as an operating system's driver does. It can also
// do what a driver must not.
//
// It works on memory of the Go heap, so that the race detector sees all of it. It reads
// registers from their page while that is in its place, as a guest does.
package virtiotest

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/kvm/guestmem"
)

var le = binary.LittleEndian

// Registers that a driver uses (virtio-v1.2 §4.2.2), by the names there. They
// are written here once more so that a wrong number in the device is found.
const (
	MagicValue        = 0x000
	Version           = 0x004
	DeviceID          = 0x008
	DeviceFeatures    = 0x010
	DeviceFeaturesSel = 0x014
	DriverFeatures    = 0x020
	DriverFeaturesSel = 0x024
	QueueSel          = 0x030
	QueueNumMax       = 0x034
	QueueNum          = 0x038
	QueueReady        = 0x044
	QueueNotify       = 0x050
	InterruptStatus   = 0x060
	InterruptACK      = 0x064
	StatusReg         = 0x070
	QueueDescLow      = 0x080
	QueueDriverLow    = 0x090
	QueueDeviceLow    = 0x0a0
	ConfigGeneration  = 0x0fc
	Config            = 0x100
)

// MemorySize is the guest's memory in bytes.
const MemorySize = 4 << 20

// Patience is how long the driver waits for the device before the test fails.
const Patience = 10 * time.Second

// A Driver drives one device.
type Driver struct {
	T      testing.TB
	Device *virtio.MMIO
	Memory *guestmem.Memory
	Queues []*Queue // after Start
	Failed chan error

	page   []byte        // what registers read as while it is mapped
	mapped atomic.Bool   // else they are read by ReadIO
	free   guestmem.Addr // memory from here on is not used yet
	got    chan struct{} // one interrupt or more came
}

// Must returns a device that can be made.
func Must[D virtio.Device](dev D, err error) D {
	if err != nil {
		panic(err) // the test's own mistake
	}
	return dev
}

// New puts dev behind registers, and returns a driver that has not touched it
// yet. The device is stopped and closed at the test's end.
func New(t testing.TB, dev virtio.Device) *Driver {
	t.Helper()
	return newDriver(t, dev, newMemory(), NewPage(t))
}

// NewWithoutPage is New with a device that has no page of registers.
func NewWithoutPage(t testing.TB, dev virtio.Device) *Driver {
	t.Helper()
	return newDriver(t, dev, newMemory(), nil)
}

func newMemory() *guestmem.Memory {
	return guestmem.NewHeap(guestmem.Range{Start: 0, Size: MemorySize})
}

func newDriver(t testing.TB, dev virtio.Device, mem *guestmem.Memory, page []byte) *Driver {
	t.Helper()
	d := &Driver{
		T: t, Memory: mem, page: page,
		Failed: make(chan error, 16), got: make(chan struct{}, 1), free: guestmem.PageSize,
	}
	o := virtio.Options{
		Name: "test", Memory: d.Memory, Interrupt: d.interrupt, KernelInterrupts: func() int { return -1 },
		Fail: func(err error) {
			select {
			case d.Failed <- err:
			default:
			}
		},
	}
	if page != nil {
		o.Page = &virtio.Page{Memory: page, Map: func(mapped bool) error { d.mapped.Store(mapped); return nil }}
	}
	var err error
	if d.Device, err = virtio.NewMMIO(dev, o); err != nil {
		t.Fatal(err)
	}
	if page != nil {
		d.Device.ShowPage()
	}
	t.Cleanup(func() {
		d.Device.Stop()
		if err := errors.Join(d.Device.Close(), mem.Close()); err != nil {
			t.Error(err)
		}
		select {
		case err := <-d.Failed:
			t.Errorf("the device ended the machine: %v", err)
		default:
		}
	})
	return d
}

// NewPage returns memory for a [virtio.Page] that the race detector does not see: the driver reads it while
// the device writes it.
func NewPage(t testing.TB) []byte {
	t.Helper()
	mem, err := guestmem.New(guestmem.Range{Size: virtio.PageSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	page, err := mem.Slice(0, virtio.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func (d *Driver) interrupt() error {
	select {
	case d.got <- struct{}{}:
	default: // one is pending already, as on an edge-triggered line
	}
	return nil
}

// Read32 reads a register.
func (d *Driver) Read32(reg uint64) uint32 {
	var p [4]byte
	d.read(reg, p[:])
	return le.Uint32(p[:])
}

// read reads what is at an offset of the registers.
func (d *Driver) read(off uint64, p []byte) {
	if d.mapped.Load() {
		copy(p, d.page[off:])
		return
	}
	d.Device.ReadIO(off, p)
}

// Write32 writes a register.
func (d *Driver) Write32(reg uint64, v uint32) {
	var p [4]byte
	le.PutUint32(p[:], v)
	d.Device.WriteIO(reg, p[:])
}

// ReadConfig reads n bytes of the configuration space from offset off on.
func (d *Driver) ReadConfig(off, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		d.read(uint64(Config+off+i), p[i:i+1])
	}
	return p
}

// Status reads the device status.
func (d *Driver) Status() virtio.Status { return virtio.Status(d.Read32(StatusReg)) }

// SetStatus adds bits to the device status.
func (d *Driver) SetStatus(bits virtio.Status) {
	d.Write32(StatusReg, uint32(d.Status()|bits))
}

// Offered reads the features that the device offers.
func (d *Driver) Offered() virtio.Features {
	var f virtio.Features
	for word := range uint32(2) {
		d.Write32(DeviceFeaturesSel, word)
		f |= virtio.Features(d.Read32(DeviceFeatures)) << (32 * word)
	}
	return f
}

// Accept writes the features that the driver accepts.
func (d *Driver) Accept(f virtio.Features) {
	for word := range uint32(2) {
		d.Write32(DriverFeaturesSel, word)
		d.Write32(DriverFeatures, uint32(f>>(32*word)))
	}
}

// Reset resets the device and takes back all memory.
func (d *Driver) Reset() {
	d.Write32(StatusReg, 0)
	d.Queues, d.free = nil, guestmem.PageSize
}

// Negotiate goes through the initialization of virtio-v1.2 §3.1.1 up to
// FEATURES_OK, with the features of wanted that the device offers.
func (d *Driver) Negotiate(wanted virtio.Features) virtio.Features {
	d.T.Helper()
	d.Reset()
	d.SetStatus(virtio.StatusAcknowledge)
	d.SetStatus(virtio.StatusDriver)
	accepted := d.Offered() & wanted
	d.Accept(accepted)
	d.SetStatus(virtio.StatusFeaturesOK)
	if d.Status()&virtio.StatusFeaturesOK == 0 {
		d.T.Fatalf("the device does not accept features %v", accepted)
	}
	return accepted
}

// Start initializes the device with the features of wanted that it offers and
// VERSION_1, and with all its queues at their largest size.
func (d *Driver) Start(wanted virtio.Features) virtio.Features {
	d.T.Helper()
	accepted := d.Negotiate(wanted | virtio.FeatureVersion1)
	for i := range uint32(virtio.MaxQueues) {
		d.Write32(QueueSel, i)
		size := d.Read32(QueueNumMax)
		if size == 0 {
			break
		}
		d.Queues = append(d.Queues, d.AddQueue(i, uint16(size), accepted))
	}
	d.SetStatus(virtio.StatusDriverOK)
	return accepted
}

// Alloc returns n bytes of guest memory that nothing else uses, zeroed and
// aligned to 16 bytes.
func (d *Driver) Alloc(n int) guestmem.Addr {
	d.T.Helper()
	a, _ := d.free.AlignUp(16)
	end, ok := a.Add(uint64(n))
	if !ok || end > MemorySize {
		d.T.Fatalf("the test's guest has no %d bytes of memory left", n)
	}
	d.free = end
	if err := d.Memory.Zero(a, uint64(n)); err != nil {
		d.T.Fatal(err)
	}
	return a
}

// Bytes is guest memory itself.
func (d *Driver) Bytes(a guestmem.Addr, n int) []byte {
	d.T.Helper()
	b, err := d.Memory.Slice(a, uint64(n))
	if err != nil {
		d.T.Fatal(err)
	}
	return b
}

// awaitInterruptUntil waits for an interrupt or the deadline, and acknowledges
// it.
func (d *Driver) awaitInterruptUntil(deadline time.Time) {
	select {
	case <-d.got:
		d.Write32(InterruptACK, d.Read32(InterruptStatus))
	case <-time.After(time.Until(deadline)):
	}
}

// AwaitInterrupt waits for an interrupt, acknowledges it, and returns its
// reasons: bit 0 used buffers, bit 1 configuration.
func (d *Driver) AwaitInterrupt() uint32 {
	d.T.Helper()
	select {
	case <-d.got:
	case <-time.After(Patience):
		d.T.Fatal("no interrupt came")
	}
	reasons := d.Read32(InterruptStatus)
	d.Write32(InterruptACK, reasons)
	return reasons
}

// AwaitBroken waits until the device has set DEVICE_NEEDS_RESET.
func (d *Driver) AwaitBroken() {
	d.T.Helper()
	for d.Status()&virtio.StatusNeedsReset == 0 {
		d.AwaitInterrupt()
	}
}
