// Package virtio is what all virtio devices share: the interface of a device
// type, feature negotiation, the status machine, and the MMIO transport by which
// a driver reaches them (virtio-v1.2 §4.2).
//
//	vCPU thread                                        device's goroutines
//	───────────                                        ───────────────────
//	MMIO ── registers (mmio.go) ── control (control.go)
//	          │ (or reads, of a page in memory: page.go)
//	          │ status: ACKNOWLEDGE, DRIVER, FEATURES_OK │
//	          │ DRIVER_OK ───────────────────────────────┼──> Device.Run(ctx, session)
//	          │                                          │      Queue.Wait, Pop
//	QueueNotify ── ioeventfd, in the kernel ─────────────┼──>   Reader, Writer
//	          │                                          │      Push, Publish
//	interrupt <── an edge on the device's line ──────────┼───   Interrupt
//	InterruptACK ── in a ring until the next exit        │
//	          │ status 0: reset ── cancels ctx, waits ───┼──> Run returns
//
// A device type (packages rng, block, …) sees a session: the negotiated features
// and the queues. It does not see registers, so that it would serve a driver over
// PCI unchanged.
//
// # What a guest can do wrong
//
// A broken rule ends the session with a [*devices.GuestError]: the device stops
// looking at its queues, sets DEVICE_NEEDS_RESET and tells the driver
// (virtio-v1.2 §2.1.2). Other devices go on. The driver may reset the device and
// begin again, as often as it likes.
//
// # Locks
//
// The control's lock guards the registers. It is held while a reset waits for
// Run to return, so a device type must not take part in anything that waits for
// a register access. Interrupts and the acknowledgement of used buffers do not take
// it, and an acknowledgement may come late and from any vCPU.
package virtio
