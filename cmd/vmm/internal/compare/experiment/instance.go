package experiment

import (
	"context"
	"fmt"
	"sync/atomic"

	"microvm/cmd/vmm/internal/compare/arm"
)

// launched counts the instances that this process has started.
var launched atomic.Uint64

// Launch starts an instance of an arm. The end of ctx ends it.
func (s *Session) Launch(ctx context.Context, a PreparedArm, argv []string) (*arm.Instance, error) {
	id := fmt.Sprintf("%s-%s-%d", arm.Word(), a.Name(), launched.Add(1))
	command, err := a.Command(id, argv)
	if err != nil {
		return nil, err
	}
	return arm.Start(ctx, command)
}

// Complete starts an instance of an arm and waits for its end, which has to come
// by itself, with status 0 and before the session's patience ends.
func (s *Session) Complete(ctx context.Context, a PreparedArm, argv []string) (arm.Result, error) {
	ctx, cancel := s.patience(ctx)
	defer cancel()
	i, err := s.Launch(ctx, a, argv)
	if err != nil {
		return arm.Result{}, err
	}
	return i.Wait(ctx)
}

// patience returns ctx with an end of the time for one instance.
func (s *Session) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.Effort.Patience, fmt.Errorf("took longer than %v", s.Effort.Patience))
}
