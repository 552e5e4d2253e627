package arm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
	"microvm/devices/guestport"
	"microvm/guestinit/payload/protocol"
	"microvm/vmm"
)

// monotonic is the host's CLOCK_MONOTONIC, which a payload without a kernel of
// its own reads as well.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // the clock is there since Linux 2.6
	}
	return time.Duration(now.Nano())
}

// A mark is a boundary that an instance has passed, and when.
type mark struct {
	boundary compare.Boundary
	at       time.Duration // of CLOCK_MONOTONIC
}

// maxLine bounds a line with a mark. Of a longer one the rest is dropped, so that
// garbage without a line's end does not fill memory.
const maxLine = 4 << 10

// readLines calls line for each line of r with the time at which it has come,
// until the end or line's first error.
func readLines(r io.Reader, line func(text string, now time.Duration) error) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // what is so long is no mark
		}
		if err != nil {
			return end(err)
		}
		if err := line(string(text), monotonic()); err != nil {
			return err
		}
	}
}

// readClocks calls found for each mark of a payload that reads the host's clock.
func readClocks(r io.Reader, found func(mark) error) error {
	return readLines(r, func(text string, _ time.Duration) error {
		line, err := protocol.Parse(text)
		if err != nil {
			return err
		}
		m, isMark := line.(*protocol.Mark)
		if !isMark {
			return nil
		}
		if m.Boundary != protocol.Payload && m.Boundary != protocol.PayloadEnd {
			return fmt.Errorf("a payload does not pass %q", m.Boundary)
		}
		return found(mark{compare.Boundary(m.Boundary), time.Duration(m.At)})
	})
}

// stageBoundaries are what the stages that a guest writes to its port mean.
// The others are the business of our init.
var stageBoundaries = map[string]compare.Boundary{
	strconv.Itoa(guestport.StageInit):       compare.Init,
	strconv.Itoa(guestport.StageProgram):    compare.Payload,
	strconv.Itoa(guestport.StageProgramEnd): compare.PayloadEnd,
}

// readBytes calls found for each byte of r that is a stage with a boundary.
func readBytes(r io.Reader, found func(mark) error) error {
	for buf := make([]byte, 64); ; {
		n, err := r.Read(buf)
		now := monotonic()
		for _, stage := range buf[:n] {
			boundary, known := stageBoundaries[strconv.Itoa(int(stage))]
			if !known {
				continue
			}
			if err := found(mark{boundary, now}); err != nil {
				return err
			}
		}
		if err != nil {
			return end(err)
		}
	}
}

// readEvents calls found for each boundary in vmm's trace of events. The machine is ready when both the VM and what it
// starts from are; the first KVM_RUN enters the kernel, as there is no firmware.
func readEvents(r io.Reader, found func(mark) error) error {
	waiting := map[string]bool{vmm.EventVMCreated: true, vmm.EventLoaded: true}
	return readLines(r, func(text string, now time.Duration) error {
		_, event, _ := strings.Cut(strings.TrimSpace(text), " event ")
		switch {
		case waiting[event]:
			delete(waiting, event)
			if len(waiting) == 0 {
				return found(mark{compare.Ready, now})
			}
		case event == vmm.EventFirstRun:
			return errors.Join(found(mark{compare.GuestStart, now}), found(mark{compare.KernelEntry, now}))
		}
		stage, _ := strings.CutPrefix(event, vmm.EventMark+" ")
		if boundary, known := stageBoundaries[stage]; known {
			return found(mark{boundary, now})
		}
		return nil
	})
}
