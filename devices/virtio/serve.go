package virtio

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// Serve runs tasks side by side, for a device that has a goroutine a queue, and
// returns when all are back. As soon as one of them fails, or ctx is done, the
// others' context is, and who is in [Queue.Wait] is woken to see it. The error
// is the first task's that failed.
//
// Preconditions: a task does not return nil before its context is done.
func (s *Session) Serve(ctx context.Context, tasks ...func(context.Context) error) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		work.Go(func() error { return task(ctx) })
	}
	work.Go(func() error {
		<-ctx.Done()
		// A doorbell is all that wakes who waits for the driver.
		return errors.Join(ctx.Err(), s.ring())
	})
	return work.Wait()
}

// ring wakes who waits for the driver, in any queue.
func (s *Session) ring() error {
	var errs []error
	for _, q := range s.Queues {
		errs = append(errs, q.Ring())
	}
	return errors.Join(errs...)
}
