package experiment

import (
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// getFilter returns a thread's seccomp filter number index, from the newest
// (ptrace(2) PTRACE_SECCOMP_GET_FILTER); ENOENT after the last one.
//
// Preconditions: this thread traces the other one, which is stopped.
func getFilter(tid, index int) ([]bpf.RawInstruction, error) {
	// The kernel copies as many instructions as there are, BPF_MAXINSNS at most.
	var program [unix.BPF_MAXINSNS]unix.SockFilter
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER,
		uintptr(tid), uintptr(index), uintptr(unsafe.Pointer(&program)), 0, 0)
	if errno != 0 {
		return nil, errno
	}
	raw := make([]bpf.RawInstruction, n)
	for i, f := range program[:n] {
		raw[i] = bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	return raw, nil
}
