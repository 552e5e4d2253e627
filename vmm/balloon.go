package vmm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"microvm/devices/virtio/balloon"
)

// A Balloon is a virtio balloon device, by which the guest gives memory that it
// does not need back to the host.
type Balloon struct {
	// Target is how many bytes the guest is to give up as soon as it drives
	// the device: a multiple of 4 KiB, and less than its memory.
	Target uint64
	// Reporting lets the guest tell, of its own accord, which memory is free.
	Reporting bool
	// DeflateOnOOM lets the guest take memory back before it kills a
	// process for lack of it.
	DeflateOnOOM bool
}

// statsPatience is how long Stats waits for what the guest has to say of its
// memory. A guest that does not answer by then is stuck or hostile.
const statsPatience = time.Second

// addBalloon puts the balloon on the board, if there is to be one.
func (m *Machine) addBalloon() (err error) {
	b := m.config.Balloon
	if b == nil {
		return nil
	}
	m.balloon, err = balloon.New(balloon.Options{Target: b.Target, Reporting: b.Reporting, DeflateOnOOM: b.DeflateOnOOM})
	if err != nil {
		return err
	}
	return m.addVirtio("balloon", m.balloon)
}

// SetBalloonTarget asks the guest to have so many bytes in the balloon, a
// multiple of 4 KiB and less than its memory. It may be called at any time, and
// does not wait: the guest does it as far as it can spare them. How far it is,
// Stats says.
func (m *Machine) SetBalloonTarget(bytes uint64) error {
	if m.balloon == nil {
		return errors.New("vmm: the machine has no balloon")
	}
	if problem := checkBalloonTarget(bytes, m.config.Memory); problem != "" {
		return fmt.Errorf("vmm: balloon: %s", problem)
	}
	return m.balloon.SetTarget(bytes)
}

// checkBalloonTarget returns what is wrong with a target for a guest with so much
// memory, or "".
func checkBalloonTarget(target, memory uint64) string {
	switch {
	case target%balloon.PageSize != 0:
		return fmt.Sprintf("a target of %d bytes is not a whole number of 4 KiB pages", target)
	case target >= memory:
		return fmt.Sprintf("a target of %d bytes; must be less than the guest's memory, which is %d", target, memory)
	}
	return ""
}

// refreshBalloon has the guest say how it uses its memory now, if it runs and
// answers soon.
func (m *Machine) refreshBalloon() {
	if m.balloon == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), statsPatience)
	defer cancel()
	// Without an answer the statistics say how old they are.
	_ = m.balloon.RefreshStats(ctx)
}
