package net_test

import (
	"strings"
	"testing"

	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
)

// plain are features without offloads.
const plain = net.FeatureMAC | net.FeatureMrgRxbuf

// A header that asks for what is not negotiated, or for what cannot be done, breaks
// the device and does not reach the backend.
func TestHeadersThatCannotBe(t *testing.T) {
	const csum, tso = plain | net.FeatureCsum, plain | net.FeatureCsum | net.FeatureHostTSO4 | net.FeatureHostTSO6
	tcp := header{Flags: 1, GSOType: 1, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
	with := func(h header, change func(*header)) header { change(&h); return h }
	for _, tt := range []struct {
		name     string
		features virtio.Features
		h        header
	}{
		{"a checksum without CSUM", plain, header{Flags: 1, CsumStart: 34, CsumOffset: 16}},
		{"TCP over IPv4 without HOST_TSO4", csum, tcp},
		{"TCP over IPv6 without HOST_TSO6", csum | net.FeatureHostTSO4, with(tcp, func(h *header) { h.GSOType = 4 })},
		{"ECN without HOST_ECN", tso, with(tcp, func(h *header) { h.GSOType = 0x81 })},
		{"UDP fragments", tso, with(tcp, func(h *header) { h.GSOType = 3 })},
		{"a type that does not exist", tso, with(tcp, func(h *header) { h.GSOType = 2 })},
		{"segments without a checksum", tso, with(tcp, func(h *header) { h.Flags = 0 })},
		{"segments of no size", tso, with(tcp, func(h *header) { h.GSOSize = 0 })},
		{"a checksum that begins behind the frame", csum, header{Flags: 1, CsumStart: 2000}},
		{"a checksum that is stored behind the frame", csum, header{Flags: 1, CsumStart: 34, CsumOffset: 1966}},
		{"a checksum whose place wraps", csum, header{Flags: 1, CsumStart: 0xffff, CsumOffset: 0xffff}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFake(1, all)
			d, _ := start(t, b, net.Options{}, tt.features)
			tx := d.Queues[transmitQueue]
			tx.Add(d.Out(append(tt.h.bytes(), frame(1, 2000)...)))
			tx.Notify()
			d.AwaitBroken()
			if s := d.Device.Stats(); !strings.Contains(s.Error, "§5.1.6.2.1") {
				t.Errorf("the error does not name the rule: %s", s.Error)
			}
			if sent := b.took(); len(sent) != 0 {
				t.Errorf("the backend got it: % x", sent[0][:net.HeaderSize])
			}
		})
	}
}

// What a driver may say in a header reaches the backend without what has no meaning
// there.
func TestHeadersAreCleaned(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want header
	}{
		{"segments", header{Flags: 1, GSOType: 1, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16},
			header{Flags: 1, GSOType: 1, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}},
		{"segments with ECN", header{Flags: 1, GSOType: 0x84, HdrLen: 74, GSOSize: 1440, CsumStart: 54, CsumOffset: 16},
			header{Flags: 1, GSOType: 0x84, HdrLen: 74, GSOSize: 1440, CsumStart: 54, CsumOffset: 16}},
		{"a checksum at the very end", header{Flags: 1, CsumStart: 1000, CsumOffset: 998}, header{Flags: 1, CsumStart: 1000, CsumOffset: 998}},
		{"unknown flags", header{Flags: 0xfe}, header{}},
		{"a checksum that is not asked for", header{CsumStart: 5000, CsumOffset: 16}, header{}},
		{"a size of segments that there are not", header{GSOSize: 7}, header{}},
		{"headers longer than the frame", header{HdrLen: 0xffff}, header{HdrLen: 2000}},
		{"buffers", header{NumBuffers: 3}, header{}},
	} {
		b := newFake(1, all)
		d, _ := start(t, b, net.Options{}, ^virtio.Features(0))
		d.Queues[transmitQueue].Do(d.Out(append(tt.got.bytes(), frame(1, 2000)...)))
		sent := b.took()
		if len(sent) != 1 {
			t.Errorf("%s: %d frames sent; %s", tt.name, len(sent), d.Device.Stats().Error)
		} else if h := readHeader(sent[0]); h != tt.want {
			t.Errorf("%s: the backend got %+v, want %+v", tt.name, h, tt.want)
		}
	}
}

// The same for received frames: what the driver does not accept does not reach it,
// whatever the backend thinks.
func TestReceivedHeaders(t *testing.T) {
	tcp4 := header{Flags: 1, GSOType: 1, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}
	tcp6 := tcp4
	tcp6.GSOType = 4
	ecn := tcp4
	ecn.GSOType = 0x81
	csum := header{Flags: 1, CsumStart: 34, CsumOffset: 16}
	for _, tt := range []struct {
		features virtio.Features
		drops    []header
		passes   []header
	}{
		{plain, []header{csum, tcp4, tcp6, ecn}, []header{{}}},
		{plain | net.FeatureGuestCsum, []header{tcp4, tcp6, ecn}, []header{{}, csum, {Flags: 2}}},
		{plain | net.FeatureGuestCsum | net.FeatureGuestTSO4, []header{tcp6, ecn}, []header{csum, tcp4}},
		{plain | net.FeatureGuestCsum | net.FeatureGuestTSO6, []header{tcp4, ecn}, []header{csum, tcp6}},
		{plain | net.FeatureGuestCsum | net.FeatureGuestTSO4 | net.FeatureGuestECN, []header{tcp6}, []header{tcp4, ecn}},
	} {
		b := newFake(1, all)
		d, _ := start(t, b, net.Options{}, tt.features)
		rx := d.Queues[receiveQueue]
		for _, h := range tt.drops {
			b.arrive(0, append(h.bytes(), frame(1, 2000)...))
		}
		for _, want := range tt.passes {
			room := d.In(3000)
			rx.Add(room)
			rx.Notify()
			b.arrive(0, append(want.bytes(), frame(1, 2000)...))
			rx.AwaitUsed()
			want.NumBuffers = 1
			if h := readHeader(d.Bytes(room.Addr, net.HeaderSize)); h != want {
				t.Errorf("features %v: header %+v, want %+v", tt.features, h, want)
			}
		}
	}
	// That it has checked a checksum the device says only where it may.
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain)
	room := d.In(3000)
	d.Queues[receiveQueue].Add(room)
	b.arrive(0, append(header{Flags: 2}.bytes(), frame(1, 100)...))
	d.Queues[receiveQueue].Notify()
	d.Queues[receiveQueue].AwaitUsed()
	if h := readHeader(d.Bytes(room.Addr, net.HeaderSize)); h.Flags != 0 {
		t.Errorf("without GUEST_CSUM flags are %#x", h.Flags)
	}
}
