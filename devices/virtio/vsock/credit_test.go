package vsock

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Counters wrap at 2^32, and what is free stays right; news that is older than
// what is known changes nothing; forwarding what was not sent is a lie.
func TestCreditWraps(t *testing.T) {
	const start = 1<<32 - 100
	c := credit{sent: start, peerForwarded: start}
	learn := func(fwdCnt, bufAlloc uint32, want bool) {
		t.Helper()
		if got := c.learn(&header{fwdCnt: fwdCnt, bufAlloc: bufAlloc}); got != want {
			t.Errorf("learn(%d, %d) = %t", fwdCnt, bufAlloc, got)
		}
	}
	wantFree := func(want int) {
		t.Helper()
		if got := c.free(); got != want {
			t.Errorf("free = %d, want %d", got, want)
		}
	}
	learn(start, 1000, true)
	wantFree(1000)
	c.sent += 1000 // past the wrap
	wantFree(0)
	at := uint32(start)
	learn(at+300, 1000, true)
	wantFree(300)
	learn(at+200, 1000, true)
	wantFree(300)
	learn(at+1001, 1000, false)
	learn(at+1000, 1000, true)
	wantFree(1000)
	learn(at+1000, 10, true)
	wantFree(10)
	learn(at+1000, 1<<32-1, true)
	wantFree(maxWindow)
	learn(at, 0, true)
	wantFree(0)
}

// A guest is told of room when it does not know of half of the buffer.
func TestCreditStale(t *testing.T) {
	c := credit{forwarded: 1<<32 - 1, told: 1<<32 - 1}
	c.forwarded += BufferSize/2 - 1
	if c.stale() {
		t.Error("stale one byte too early")
	}
	c.forwarded++
	if !c.stale() {
		t.Error("not stale")
	}
	var h header
	if c.stamp(&h); h.bufAlloc != BufferSize || h.fwdCnt != c.forwarded || c.stale() {
		t.Errorf("stamped %+v", h)
	}
}

// What goes into a fifo comes out, in order, whatever the sizes.
func TestFIFO(t *testing.T) {
	var f fifo
	var want bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		in := make([]byte, r.IntN(f.room()+1))
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		f.fill(bytes.NewReader(in), len(in))
		want.Write(in)
		for range r.IntN(3) {
			out := f.next()
			out = out[:r.IntN(len(out)+1)]
			if !bytes.Equal(out, want.Next(len(out))) {
				t.Fatal("other bytes come out")
			}
			f.drop(len(out))
		}
		if f.n != want.Len() || f.n > BufferSize || (f.ring == nil) != (f.n == 0) {
			t.Fatalf("%d bytes in it, want %d; ring %t", f.n, want.Len(), f.ring != nil)
		}
	}
}
