package experiment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A filter decides which system calls a process may make: classic BPF, as
// seccomp(2) takes it.
type filter struct{ vm *bpf.VM }

// newFilter returns the filter with these instructions.
func newFilter(raw []bpf.RawInstruction) (filter, error) {
	instructions, ok := bpf.Disassemble(raw)
	if !ok {
		return filter{}, errors.New("a seccomp filter has instructions that are not classic BPF")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		return filter{}, fmt.Errorf("seccomp filter: %w", err)
	}
	return filter{vm}, nil
}

// Sizes and offsets of struct seccomp_data (linux seccomp.h).
const (
	dataNumber = 0 // 32 bits: the system call's number
	dataArch   = 4 // 32 bits: AUDIT_ARCH_…
	dataSize   = 64
)

// permits reports whether the filter lets a system call of x86-64 pass to the
// kernel, with all arguments and the instruction pointer 0.
func (f filter) permits(number uint32) (bool, error) {
	// A seccomp filter loads words in the host's order, this interpreter those
	// of a network packet.
	var data [dataSize]byte
	binary.BigEndian.PutUint32(data[dataNumber:], number)
	binary.BigEndian.PutUint32(data[dataArch:], unix.AUDIT_ARCH_X86_64)
	verdict, err := f.vm.Run(data[:])
	if err != nil {
		return false, fmt.Errorf("seccomp filter: %w", err)
	}
	action := uint32(verdict) & unix.SECCOMP_RET_ACTION_FULL
	return action == unix.SECCOMP_RET_ALLOW || action == unix.SECCOMP_RET_LOG, nil
}

// callNumbers are the system calls of x86-64 that Linux 6.0 has a number for
// (arch/x86/entry/syscalls/syscall_64.tbl): 0-334 and, the same as on other
// architectures, 424-450. It is the same set on every host, so that counts of
// different hosts mean the same.
func callNumbers(yield func(uint32) bool) {
	const gap, common, end = 335, 424, 451
	for n := uint32(0); n < end; n++ {
		if n == gap {
			n = common
		}
		if !yield(n) {
			return
		}
	}
}

// forbiddenCalls returns the calls that filters do not let pass, all of
// which a call must.
func forbiddenCalls(filters []filter) (forbidden []uint32, err error) {
	for n := range callNumbers {
		for _, f := range filters {
			permits, err := f.permits(n)
			if err != nil {
				return nil, err
			}
			if !permits {
				forbidden = append(forbidden, n)
				break
			}
		}
	}
	return forbidden, nil
}

// forbiddenTo returns the calls that no thread of a process may make: who takes
// over one thread has the memory of all.
//
// Preconditions: the process is no child of this one, which is told of
// each stop of a child that it traces as if it had ended.
func forbiddenTo(pid int) (forbidden []uint32, err error) {
	threads, err := os.ReadDir(procFile(pid, "task"))
	if err != nil {
		return nil, err
	}
	first := true
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return nil, err
		}
		filters, err := readFilters(tid)
		if errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		calls, err := forbiddenCalls(filters)
		if err != nil {
			return nil, err
		}
		if first {
			forbidden, first = calls, false
		}
		forbidden = slices.DeleteFunc(forbidden, func(n uint32) bool { return !slices.Contains(calls, n) })
	}
	return forbidden, nil
}

// readFilters returns the seccomp filters of a thread, which it stops
// for some microseconds. That needs CAP_SYS_ADMIN, and a kernel with
// CONFIG_CHECKPOINT_RESTORE.
func readFilters(tid int) (filters []filter, err error) {
	runtime.LockOSThread() // ptrace(2) knows the tracer by its thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(tid); err != nil {
		return nil, fmt.Errorf("ptrace(PTRACE_SEIZE, %d): %w", tid, err)
	}
	if err := unix.PtraceInterrupt(tid); err != nil {
		return nil, fmt.Errorf("ptrace(PTRACE_INTERRUPT, %d): %w", tid, err)
	}
	if err := unix.Waitid(unix.P_PID, tid, nil, unix.WSTOPPED|unix.WALL, nil); err != nil {
		return nil, fmt.Errorf("waitid(%d): %w", tid, err)
	}
	defer func() {
		if detachErr := unix.PtraceDetach(tid); detachErr != nil {
			err = errors.Join(err, fmt.Errorf("ptrace(PTRACE_DETACH, %d): %w", tid, detachErr))
		}
	}()
	for index := 0; ; index++ {
		raw, err := getFilter(tid, index)
		// EINVAL is the answer for a thread with no filter at all.
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) && index == 0 {
			return filters, nil
		}
		if err != nil {
			return nil, fmt.Errorf("ptrace(PTRACE_SECCOMP_GET_FILTER, %d, %d): %w", tid, index, err)
		}
		f, err := newFilter(raw)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
}
