package console_test

import (
	"context"
	"testing"
)

// BenchmarkOutput is what a processor of the guest waits for a buffer of 2 KiB,
// which is what Linux sends of a large write to hvc0 at once.
func BenchmarkOutput(b *testing.B) {
	dev, d := start(b)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for chunk := make([]byte, 16<<10); ; {
			if _, err := dev.Console().Read(ctx, chunk); err != nil {
				return
			}
		}
	}()
	out := d.Out(make([]byte, 2<<10))
	b.SetBytes(int64(out.Len))
	for b.Loop() {
		d.Queues[1].Add(out)
		d.Queues[1].Notify()
		for ok := false; !ok; _, ok = d.Queues[1].TryUsed() { // as Linux waits
		}
	}
	stop()
	<-done
}
