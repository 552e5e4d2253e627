package balloon_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/balloon"
	"microvm/devices/virtio/virtiotest"
	"microvm/kvm/guestmem"
)

// The queues' numbers (virtio-v1.2 §5.5.2), written here once more.
const (
	inflateQ   = 0
	deflateQ   = 1
	statsQ     = 2
	reportingQ = 4
)

const allFeatures = balloon.FeatureStatsVQ | balloon.FeatureDeflateOnOOM | balloon.FeaturePageReporting | virtio.FeatureIndirectDesc

// scratch is memory of which the driver's queues are not part: the second half.
var scratch = guestmem.Range{Start: virtiotest.MemorySize / 2, Size: virtiotest.MemorySize / 2}

// A driver drives a balloon.
type driver struct {
	*virtiotest.Driver
	balloon *balloon.Device
}

// newDriver returns a started driver whose scratch memory is filled.
func newDriver(t testing.TB, o balloon.Options, wanted virtio.Features) *driver {
	t.Helper()
	b := virtiotest.Must(balloon.New(o))
	d := &driver{virtiotest.New(t, b), b}
	d.Start(wanted)
	m := d.Bytes(scratch.Start, int(scratch.Size))
	for i := range m {
		m[i] = 0xaa
	}
	return d
}

func list(pfns ...uint32) (b []byte) {
	for _, pfn := range pfns {
		b = binary.LittleEndian.AppendUint32(b, pfn)
	}
	return b
}

// page is the number of page i of the scratch memory.
func page(i uint32) uint32 { return uint32(scratch.Start/balloon.PageSize) + i }

// wantReleased checks that of the scratch memory exactly the pages that are given
// were released, by their index there.
func (d *driver) wantReleased(pages ...int) {
	d.T.Helper()
	want := make(map[int]bool)
	for _, p := range pages {
		want[p] = true
	}
	kept, gone := bytes.Repeat([]byte{0xaa}, balloon.PageSize), make([]byte, balloon.PageSize)
	for i := range int(scratch.Size / balloon.PageSize) {
		got := d.Bytes(scratch.Start+guestmem.Addr(i)*balloon.PageSize, balloon.PageSize)
		if expected := map[bool][]byte{true: gone, false: kept}[want[i]]; !bytes.Equal(got, expected) {
			d.T.Errorf("page %d: % x…, released must be %v", i, got[:4], pages)
		}
	}
}

// property is what the device says of itself under a name, nil if nothing.
func (d *driver) property(name string) any {
	for _, p := range d.Device.Stats().Device {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

// wantBroken checks that the device broke down because of a rule.
func (d *driver) wantBroken(rule string) {
	d.T.Helper()
	d.AwaitBroken()
	if s := d.Device.Stats(); !strings.Contains(s.Error, "("+rule+")") {
		d.T.Errorf("broken because %q, want rule %q", s.Error, rule)
	}
}

func TestInflateReleasesPages(t *testing.T) {
	for _, tt := range []struct {
		name  string
		pages []uint32 // as the driver names them
		want  []int
	}{
		{"one", []uint32{3}, []int{3}},
		{"neighbours, highest first", []uint32{9, 8, 7, 6}, []int{6, 7, 8, 9}},
		{"apart", []uint32{1, 5, 3}, []int{1, 3, 5}},
		{"twice", []uint32{4, 4, 5, 4, 5}, []int{4, 5}},
		{"the last one of memory", []uint32{uint32(scratch.Size/balloon.PageSize) - 1}, []int{int(scratch.Size/balloon.PageSize) - 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDriver(t, balloon.Options{}, allFeatures)
			var pfns []uint32
			for _, p := range tt.pages {
				pfns = append(pfns, page(p))
			}
			if n := d.Queues[inflateQ].Do(d.Out(list(pfns...))); n != 0 {
				t.Errorf("%d bytes written to a list", n)
			}
			d.wantReleased(tt.want...)
			if got := d.property("bytes released by inflation"); got != uint64(len(tt.want)*balloon.PageSize) {
				t.Errorf("released %v bytes of %d pages", got, len(tt.want))
			}
		})
	}
}

// A list goes on from one buffer to the next, in a number, too.
func TestInflateInPieces(t *testing.T) {
	d := newDriver(t, balloon.Options{}, allFeatures)
	b := list(page(1), page(2), page(7))
	d.Queues[inflateQ].Do(d.Out(b[:3]), d.Out(b[3:9]), d.Out(b[9:]))
	d.wantReleased(1, 2, 7)
}

// A request may name each page of the guest.
func TestInflateAll(t *testing.T) {
	d := newDriver(t, balloon.Options{}, allFeatures)
	var pfns []uint32
	var want []int
	for i := range scratch.Size / balloon.PageSize {
		pfns, want = append(pfns, page(uint32(i))), append(want, int(i))
	}
	for len(pfns) < virtiotest.MemorySize/balloon.PageSize {
		pfns = append(pfns, page(0))
	}
	d.Queues[inflateQ].Do(d.Out(list(pfns...)))
	d.wantReleased(want...)
}

// The guest uses a page again as soon as it likes: deflation leaves it alone.
func TestDeflateReleasesNothing(t *testing.T) {
	d := newDriver(t, balloon.Options{}, allFeatures)
	if n := d.Queues[deflateQ].Do(d.Out(list(page(1), page(2)))); n != 0 {
		t.Errorf("%d bytes written to a list", n)
	}
	d.wantReleased()
}

func TestReportReleasesRanges(t *testing.T) {
	d := newDriver(t, balloon.Options{Reporting: true}, allFeatures)
	at := func(i, n int) virtiotest.Buffer {
		return virtiotest.Buffer{Addr: scratch.Start + guestmem.Addr(i)*balloon.PageSize, Len: n * balloon.PageSize, Writable: true}
	}
	if n := d.Queues[reportingQ].Do(at(2, 2), at(10, 1), at(100, 8)); n != 0 {
		t.Errorf("%d bytes written", n)
	}
	d.wantReleased(2, 3, 10, 100, 101, 102, 103, 104, 105, 106, 107)
	if got := d.property("bytes released by reports"); got != uint64(11*balloon.PageSize) {
		t.Errorf("released %v bytes of 11 pages", got)
	}
}

func TestReportOfPartsOfPages(t *testing.T) {
	d := newDriver(t, balloon.Options{Reporting: true}, allFeatures)
	d.Queues[reportingQ].Do(virtiotest.Buffer{Addr: scratch.Start + 100, Len: 3 * balloon.PageSize, Writable: true})
	d.wantReleased(1, 2)
}

// Linux numbers the queues that exist in turn, so that reporting_vq is where the
// specification has another one.
func TestReportingQueueOfLinux(t *testing.T) {
	for _, tt := range []struct {
		features virtio.Features
		number   int
	}{
		{balloon.FeatureStatsVQ | balloon.FeaturePageReporting, 3},
		{balloon.FeaturePageReporting, 2},
	} {
		t.Run(fmt.Sprint(tt.features), func(t *testing.T) {
			d := virtiotest.New(t, virtiotest.Must(balloon.New(balloon.Options{Reporting: true})))
			accepted := d.Negotiate(tt.features | virtio.FeatureVersion1)
			var last *virtiotest.Queue
			for i := range tt.number + 1 {
				last = d.AddQueue(uint32(i), 32, accepted)
			}
			d.SetStatus(virtio.StatusDriverOK)
			b := virtiotest.Buffer{Addr: scratch.Start, Len: balloon.PageSize, Writable: true}
			copy(d.Bytes(b.Addr, 4), "free")
			last.Do(b)
			if got := d.Bytes(b.Addr, 4); !bytes.Equal(got, make([]byte, 4)) {
				t.Errorf("the page was not released: %q", got)
			}
		})
	}
}

func TestFeatures(t *testing.T) {
	for _, tt := range []struct {
		options balloon.Options
		want    virtio.Features
		queues  int
	}{
		{balloon.Options{}, balloon.FeatureStatsVQ, 3},
		{balloon.Options{DeflateOnOOM: true}, balloon.FeatureStatsVQ | balloon.FeatureDeflateOnOOM, 3},
		{balloon.Options{Reporting: true}, balloon.FeatureStatsVQ | balloon.FeaturePageReporting, 5},
	} {
		d := virtiotest.Must(balloon.New(tt.options))
		if d.Features() != tt.want || len(d.QueueSizes()) != tt.queues {
			t.Errorf("%+v: features %v, %d queues", tt.options, d.Features(), len(d.QueueSizes()))
		}
	}
}

func TestTarget(t *testing.T) {
	d := newDriver(t, balloon.Options{Target: 8 << 20}, allFeatures)
	config := func() (numPages, actual uint32) {
		c := d.ReadConfig(0, 8)
		return binary.LittleEndian.Uint32(c), binary.LittleEndian.Uint32(c[4:])
	}
	if n, actual := config(); n != 2048 || actual != 0 {
		t.Fatalf("num_pages %d, actual %d at first", n, actual)
	}
	generation := d.Read32(virtiotest.ConfigGeneration)
	d.balloon.SetTarget(1<<20 + 5000) // a page and a part
	if d.AwaitInterrupt()&2 == 0 {
		t.Error("no configuration change interrupt")
	}
	if n, _ := config(); n != 257 {
		t.Errorf("num_pages %d, want 257", n)
	}
	if d.Read32(virtiotest.ConfigGeneration) == generation {
		t.Error("the configuration's generation has not changed")
	}
	d.Write32(virtiotest.Config+4, 255)
	if n, actual := config(); n != 257 || actual != 255 {
		t.Errorf("num_pages %d, actual %d", n, actual)
	}
	if got := d.property("balloon bytes"); got != uint64(255*balloon.PageSize) {
		t.Errorf("%v bytes in the balloon", got)
	}
	d.Write32(virtiotest.Config, 1) // num_pages is not the driver's
	if n, _ := config(); n != 257 {
		t.Errorf("the driver has set num_pages to %d", n)
	}
	d.Start(allFeatures)
	d.Queues[deflateQ].Do(d.Out(list(page(0)))) // the new session has begun
	if n, actual := config(); n != 257 || actual != 0 {
		t.Errorf("num_pages %d, actual %d after a reset", n, actual)
	}
}

func TestTargetWithoutDriver(t *testing.T) {
	b := virtiotest.Must(balloon.New(balloon.Options{}))
	b.SetTarget(4096)
	if c := b.AppendConfig(nil); !bytes.Equal(c, []byte{1, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("configuration % x", c)
	}
}

// A reset comes through while a request is at work, and takes all back.
func TestResetDuringRequests(t *testing.T) {
	d := newDriver(t, balloon.Options{Reporting: true}, allFeatures)
	for range 20 {
		var pfns []uint32
		for i := range uint32(512) {
			pfns = append(pfns, page(i*2%512))
		}
		for range 8 {
			d.Queues[inflateQ].Add(d.Out(list(pfns...)))
		}
		d.Queues[inflateQ].Notify()
		d.Start(allFeatures)
	}
	d.Queues[inflateQ].Do(d.Out(list(page(0))))
}

// What a driver must not send breaks the device, by name, and a reset mends it.
func TestBrokenRequests(t *testing.T) {
	beyond := uint32(virtiotest.MemorySize / balloon.PageSize)
	out := func(b []byte) func(*driver) []virtiotest.Buffer {
		return func(d *driver) []virtiotest.Buffer { return []virtiotest.Buffer{d.Out(b)} }
	}
	for _, tt := range []struct {
		name  string
		queue int
		chain func(*driver) []virtiotest.Buffer
		rule  string
	}{
		{"page behind memory", inflateQ, out(list(page(1), beyond)), "virtio-v1.2 §5.5.6"},
		{"last page number", inflateQ, out(list(0xffffffff)), "virtio-v1.2 §5.5.6"},
		{"page behind memory to deflate", deflateQ, out(list(beyond)), "virtio-v1.2 §5.5.6"},
		{"part of a number", inflateQ, out(list(page(1))[:3]), "virtio-v1.2 §5.5.6"},
		{"more pages than there are", inflateQ, out(make([]byte, 4*(beyond+1))), "virtio-v1.2 §5.5.6"},
		{"a list with room to write", inflateQ, func(d *driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out(list(page(1))), d.In(16)}
		}, "virtio-v1.2 §5.5.6"},
		{"room to write only", deflateQ, func(d *driver) []virtiotest.Buffer { return []virtiotest.Buffer{d.In(16)} }, "virtio-v1.2 §5.5.6"},
		{"report that is to be read", reportingQ, out(make([]byte, 4096)), "virtio-v1.2 §5.5.6.7"},
		{"statistics that are to be written", statsQ, func(d *driver) []virtiotest.Buffer { return []virtiotest.Buffer{d.In(100)} }, "virtio-v1.2 §5.5.6.3.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDriver(t, balloon.Options{Reporting: true}, allFeatures)
			d.Queues[tt.queue].Add(tt.chain(d)...)
			d.Queues[tt.queue].Notify()
			d.wantBroken(tt.rule)
			d.Start(allFeatures)
			d.Queues[inflateQ].Do(d.Out(list(page(5))))
			if got := d.Bytes(scratch.Start+5*balloon.PageSize, 1)[0]; got != 0 {
				t.Error("the device does not work after a reset")
			}
		})
	}
}

func TestSecondBufferOfStatistics(t *testing.T) {
	d := newDriver(t, balloon.Options{}, allFeatures)
	d.Queues[statsQ].Add(d.Out(stat(4, 1)))
	d.Queues[statsQ].Add(d.Out(stat(4, 1)))
	d.Queues[statsQ].Notify()
	d.wantBroken("virtio-v1.2 §5.5.6.3.1")
}

func stat(tag uint16, value uint64) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16(nil, tag), value)
}

// awaitStats waits until the device has statistics in which name has a value.
func (d *driver) awaitStats(name string, value uint64) {
	d.T.Helper()
	deadline := time.Now().Add(virtiotest.Patience)
	for d.property(name) != value {
		if time.Now().After(deadline) {
			d.T.Fatalf("%s is %v, want %d", name, d.property(name), value)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestStatistics(t *testing.T) {
	d := newDriver(t, balloon.Options{}, allFeatures)
	q := d.Queues[statsQ]
	if d.property("guest: free bytes") != nil {
		t.Error("statistics before the driver sent any")
	}
	first := q.Add(d.Out(stat(4, 100)))
	q.Notify()
	d.awaitStats("guest: free bytes", 100)
	if u, ok := q.TryUsed(); ok {
		t.Fatalf("the device gave back %+v though nobody asked for statistics", u)
	}

	asked := make(chan error, 1)
	go func() { asked <- d.balloon.RefreshStats(t.Context()) }()
	if u := q.AwaitUsed(); u.Head != first || u.Written != 0 {
		t.Fatalf("the device gave back %+v, not the buffer of head %d", u, first)
	}
	// Unknown tags, in between and at the end, and a part of an entry.
	b := append(stat(77, 1), stat(5, 4000)...)
	b = append(append(append(b, stat(4, 200)...), stat(0xffff, 9)...), 1, 2, 3)
	q.Add(d.Out(b))
	q.Notify()
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range d.Device.Stats().Device {
		if strings.HasPrefix(p.Name, "guest: ") {
			got = append(got, p.Name)
		}
	}
	want := []string{"guest: told so long ago", "guest: total bytes", "guest: free bytes"}
	if fmt.Sprint(got) != fmt.Sprint(want) || d.property("guest: total bytes") != uint64(4000) || d.property("guest: free bytes") != uint64(200) {
		t.Errorf("statistics %v: %v", got, d.Device.Stats().Device)
	}
}

// A driver that does not answer keeps nobody waiting for longer than he wants,
// and none at all does not either.
func TestStatisticsWithoutAnswer(t *testing.T) {
	b := virtiotest.Must(balloon.New(balloon.Options{}))
	d := virtiotest.New(t, b)
	if err := b.RefreshStats(t.Context()); err != nil {
		t.Errorf("without a driver: %v", err)
	}
	d.Start(allFeatures)
	d.Queues[statsQ].Add(d.Out(stat(4, 1)))
	d.Queues[statsQ].Notify()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil { // until the session has begun
		if err := b.RefreshStats(ctx); err != nil && err != context.DeadlineExceeded {
			t.Error(err)
		}
	}
	asked := make(chan error, 1)
	go func() { asked <- b.RefreshStats(t.Context()) }()
	d.Reset()
	if err := <-asked; err != nil {
		t.Errorf("after a reset: %v", err)
	}
}

// However long the buffer, the work is bounded.
func TestManyStatistics(t *testing.T) {
	d := newDriver(t, balloon.Options{}, allFeatures)
	b := stat(4, 1)
	for range 10000 {
		b = append(b, stat(4, 2)...)
	}
	d.Queues[statsQ].Add(d.Out(b))
	d.Queues[statsQ].Notify()
	d.awaitStats("guest: free bytes", 1)
	if n := len(d.Device.Stats().Device); n > 100 {
		t.Errorf("%d properties", n)
	}
}

// A target that num_pages has no room for is an error, and changes nothing.
func TestTargetTooLarge(t *testing.T) {
	const tooLarge = balloon.PageSize << 32
	if _, err := balloon.New(balloon.Options{Target: tooLarge}); err == nil {
		t.Error("a balloon of 2^32 pages")
	}
	b := virtiotest.Must(balloon.New(balloon.Options{Target: balloon.PageSize}))
	if err := b.SetTarget(tooLarge); err == nil {
		t.Error("a target of 2^32 pages")
	}
	if c := b.AppendConfig(nil); !bytes.Equal(c, []byte{1, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("after it the configuration is % x", c)
	}
	if err := b.SetTarget(tooLarge - 1); err != nil {
		t.Error(err)
	}
}
