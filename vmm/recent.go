package vmm

import (
	"fmt"

	"microvm/kvm"
)

// recentSize is how many of a vCPU's last exits are kept for a diagnosis.
const recentSize = 16

// recentExits is a ring of a vCPU's last exits. Only the vCPU's thread uses
// it.
type recentExits struct {
	ring [recentSize]recentExit
	n    uint64 // exits so far
}

// A recentExit is as much of an exit as a diagnosis shows. It is a copy: the
// exit itself is good only until the next KVM_RUN.
type recentExit struct {
	reason kvm.ExitReason
	addr   uint64
	data   [8]byte
	size   int
	write  bool
}

func (r *recentExits) add(exit kvm.Exit) {
	e := recentExit{reason: exit.Reason()}
	switch x := exit.(type) {
	case *kvm.IOExit:
		e.addr, e.write = uint64(x.Port), x.Out
		e.size = copy(e.data[:], x.Data[:min(len(x.Data), int(x.Size))])
	case *kvm.MMIOExit:
		e.addr, e.write = x.Addr, x.Write
		e.size = copy(e.data[:], x.Data)
	}
	r.ring[r.n%recentSize] = e
	r.n++
}

// lines shows the exits, the last one last. Accesses of the same kind that
// follow one another are one line.
func (r *recentExits) lines(b *board) []string {
	var out []string
	repeated := 0
	for i := r.n - min(r.n, recentSize); i < r.n; i++ {
		line := r.ring[i%recentSize].describe(b)
		if len(out) > 0 && out[len(out)-1] == line {
			repeated++
			continue
		}
		if repeated > 0 {
			out[len(out)-1] += fmt.Sprintf(" (%d times)", repeated+1)
		}
		repeated = 0
		out = append(out, line)
	}
	if repeated > 0 {
		out[len(out)-1] += fmt.Sprintf(" (%d times)", repeated+1)
	}
	return out
}

func (e recentExit) describe(b *board) string {
	bus, verb := b.ports, "read"
	switch e.reason {
	case kvm.ExitIO:
	case kvm.ExitMMIO:
		bus = b.mmio
	default:
		return e.reason.String()
	}
	name := noDevice
	if dev, _ := bus.Find(e.addr, uint64(e.size)); dev != nil {
		name = dev.Name()
	}
	if !e.write {
		return fmt.Sprintf("%v %s %#x (%s), %d bytes", e.reason, verb, e.addr, name, e.size)
	}
	return fmt.Sprintf("%v write %#x (%s): %#x", e.reason, e.addr, name, e.data[:e.size])
}
