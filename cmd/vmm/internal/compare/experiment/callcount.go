package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// A callCounter counts, in the host's kernel, the system calls that descendants of
// this process make, each from its first execve on. A call costs that some hundred
// instructions more. Under strace(1), which stops the caller twice, a guest whose
// monitor makes a call for each of its timer's ticks may not get on at all.
//
// Four programs (BPF_PROG_TYPE_RAW_TRACEPOINT) share the maps:
//
//	sched_process_fork   a child of this process, or of a known task, is known
//	sched_process_exec   a known task is counted from now on
//	sched_process_exit   a task is not known any more
//	sys_enter            a call of a known task is counted
//
// They end with this process, however it ends.
type callCounter struct {
	maps  callMaps
	close []func() error
}

// callMaps are what the programs know.
type callMaps struct {
	tasks  *ebpf.Map // by thread ID: whether it is counted, 0 or 1
	counts *ebpf.Map // by callKey: how many
	state  *ebpf.Map // by the constants below
}

// Indexes of callMaps.state.
const (
	stateGuest = iota // 1 from the first KVM_RUN on
	stateLost         // 1 if a call was not counted for want of room
	stateSize
)

const (
	// taskLimit is as many threads as instances of an arm have, and more.
	taskLimit = 1 << 14
	// callLimit has room for all system calls of some dozen names of commands.
	callLimit = 1 << 13
)

// A callKey is a kind of call.
type callKey struct {
	Command [16]byte // name of the thread, from its start or execve: TASK_COMM_LEN
	Number  uint32   // of the system call
	Guest   uint32   // 1 from the first KVM_RUN on
}

// kvmRun is the ioctl by which a guest runs, KVM_RUN of linux/kvm.h.
const kvmRun = 0xae80

// newCallCounter begins to count. Its error says that this kernel cannot, or that it
// is not permitted.
func newCallCounter() (_ *callCounter, err error) {
	c := &callCounter{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("counting system calls by eBPF: %w", err), c.Close())
		}
	}()
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11 count maps as locked memory
		return nil, err
	}
	for _, m := range []struct {
		is   **ebpf.Map
		spec ebpf.MapSpec
	}{
		{&c.maps.tasks, ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 4, MaxEntries: taskLimit}},
		{&c.maps.counts, ebpf.MapSpec{Type: ebpf.Hash, KeySize: 24, ValueSize: 8, MaxEntries: callLimit}},
		{&c.maps.state, ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: stateSize}},
	} {
		if *m.is, err = ebpf.NewMap(&m.spec); err != nil {
			return nil, err
		}
		c.close = append(c.close, (*m.is).Close)
	}
	pid, err := pidOffset()
	if err != nil {
		return nil, err
	}
	for _, p := range []struct {
		tracepoint string
		code       asm.Instructions
	}{
		{"sys_enter", c.maps.onCall()},
		{"sched_process_exit", c.maps.onExit()},
		{"sched_process_exec", c.maps.onExec()},
		{"sched_process_fork", c.maps.onFork(os.Getpid(), pid)},
	} {
		if err := c.attach(p.tracepoint, p.code); err != nil {
			return nil, fmt.Errorf("%s: %w", p.tracepoint, err)
		}
	}
	return c, nil
}

// pidOffset is where struct task_struct of this kernel has its thread ID.
func pidOffset() (int32, error) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, err
	}
	var task *btf.Struct
	if err := kernel.TypeByName("task_struct", &task); err != nil {
		return 0, err
	}
	for _, m := range task.Members {
		if m.Name == "pid" {
			return int32(m.Offset.Bytes()), nil
		}
	}
	return 0, errors.New("struct task_struct has no pid")
}

func (c *callCounter) attach(tracepoint string, code asm.Instructions) error {
	// The helpers that read the kernel's memory are for programs under the GPL.
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, Instructions: code, License: "Dual BSD/GPL"})
	if err != nil {
		return err
	}
	c.close = append(c.close, program.Close)
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoint, Program: program})
	if err != nil {
		return err
	}
	c.close = append(c.close, l.Close)
	return nil
}

// Close ends the counting.
func (c *callCounter) Close() error {
	var errs []error
	for _, f := range c.close {
		errs = append(errs, f())
	}
	c.close = nil
	return errors.Join(errs...)
}

// calls is what was counted until now.
func (c *callCounter) calls() (callTrace, error) {
	t := newCallTrace()
	var lost uint32
	if err := c.maps.state.Lookup(uint32(stateLost), &lost); err != nil {
		return t, err
	}
	if lost != 0 {
		return t, fmt.Errorf("more than %d kinds of system calls", callLimit)
	}
	var key callKey
	var n uint64
	all := c.maps.counts.Iterate()
	for all.Next(&key, &n) {
		command, _, _ := bytes.Cut(key.Command[:], []byte{0})
		side := t.arm
		switch {
		case string(command) == filepath.Base(program):
			side = t.payload
		case key.Guest != 0:
			side = t.guest
		}
		side[callName(key.Number)] += int(n)
	}
	return t, all.Err()
}

// The programs. R6 keeps the tracepoint's arguments, of 8 bytes each; what maps are
// asked for is on the stack, below RFP.

// exit ends a program.
func exit() asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"), asm.Return()}
}

// argument loads a tracepoint's argument.
func argument(to asm.Register, n int16) asm.Instruction {
	return asm.LoadMem(to, asm.R6, 8*n, asm.DWord)
}

// store puts a register into 4 bytes of the stack.
func store(at int16, from asm.Register) asm.Instruction {
	return asm.StoreMem(asm.RFP, at, from, asm.Word)
}

// onStack points to the stack.
func onStack(to asm.Register, at int16) asm.Instructions {
	return asm.Instructions{asm.Mov.Reg(to, asm.RFP), asm.Add.Imm(to, int32(at))}
}

// ask calls a map's function with the key at the stack's place key.
func ask(function asm.BuiltinFunc, m *ebpf.Map, key int16) asm.Instructions {
	code := asm.Instructions{asm.LoadMapPtr(asm.R1, m.FD())}
	code = append(code, onStack(asm.R2, key)...)
	return append(code, function.Call())
}

// update sets a map's value at the stack's places.
func update(m *ebpf.Map, key, value int16, flags ebpf.MapUpdateFlags) asm.Instructions {
	code := onStack(asm.R3, value)
	code = append(code, asm.Mov.Imm(asm.R4, int32(flags)))
	return append(code, ask(asm.FnMapUpdateElem, m, key)...)
}

// setState sets a state to 1, at the stack's places.
func (m *callMaps) setState(index int32, key, value int16) asm.Instructions {
	code := asm.Instructions{
		asm.Mov.Imm(asm.R1, index), store(key, asm.R1),
		asm.Mov.Imm(asm.R1, 1), store(value, asm.R1),
	}
	return append(code, update(m.state, key, value, ebpf.UpdateAny)...)
}

// load loads 4 bytes from where R0 points.
func load(to asm.Register) asm.Instruction { return asm.LoadMem(to, asm.R0, 0, asm.Word) }

// whole is a program of parts, which end it by a jump to "exit" or at their end.
func whole(parts ...asm.Instructions) asm.Instructions {
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for _, p := range parts {
		code = append(code, p...)
	}
	return append(code, exit()...)
}

// onFork makes the child of a known task, or of the process self, known. Its
// arguments are the parent and the child, struct task_struct *.
func (m *callMaps) onFork(self int, pidOffset int32) asm.Instructions {
	const parent, child, counted = -4, -8, -12
	return whole(
		asm.Instructions{
			asm.FnGetCurrentPidTgid.Call(), // of the parent
			store(parent, asm.R0),
			asm.Mov.Reg(asm.R7, asm.R0),
			asm.RSh.Imm(asm.R7, 32),
			asm.Mov.Imm(asm.R8, 0),
		},
		ask(asm.FnMapLookupElem, m.tasks, parent),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "unknown"),
			load(asm.R8), // a child is counted as its parent is
			asm.Ja.Label("add"),
			asm.JNE.Imm(asm.R7, int32(self), "exit").WithSymbol("unknown"),
			argument(asm.R3, 1).WithSymbol("add"),
			asm.Add.Imm(asm.R3, pidOffset),
		},
		onStack(asm.R1, child),
		asm.Instructions{
			asm.Mov.Imm(asm.R2, 4),
			asm.FnProbeReadKernel.Call(),
			store(counted, asm.R8),
		},
		update(m.tasks, child, counted, ebpf.UpdateAny),
	)
}

// onExec begins to count a known task. Of its arguments the second is its thread ID
// before, which another thread of its process than the first one has given up.
func (m *callMaps) onExec() asm.Instructions {
	const before, now, counted = -4, -8, -12
	return whole(
		asm.Instructions{argument(asm.R1, 1), store(before, asm.R1)},
		ask(asm.FnMapLookupElem, m.tasks, before),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "exit"),
			asm.FnGetCurrentPidTgid.Call(),
			store(now, asm.R0),
			asm.Mov.Imm(asm.R1, 1),
			store(counted, asm.R1),
		},
		update(m.tasks, now, counted, ebpf.UpdateAny),
	)
}

// onExit forgets a task, whose ID another may get.
func (m *callMaps) onExit() asm.Instructions {
	const task = -4
	return whole(
		asm.Instructions{asm.FnGetCurrentPidTgid.Call(), store(task, asm.R0)},
		ask(asm.FnMapDeleteElem, m.tasks, task),
	)
}

// onCall counts a call. Its arguments are the registers, struct pt_regs *, and the
// system call's number.
func (m *callMaps) onCall() asm.Instructions {
	const (
		task, key, value          = -4, -8, -12
		kind, number, guest       = -40, -24, -20 // a callKey and its last fields
		one, request              = -48, -56      // 8 bytes each
		commandSize               = 16
		secondArgument      int32 = 13 * 8 // struct pt_regs, si
	)
	return whole(
		asm.Instructions{asm.FnGetCurrentPidTgid.Call(), store(task, asm.R0)},
		ask(asm.FnMapLookupElem, m.tasks, task),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "exit"),
			load(asm.R7),
			argument(asm.R8, 1),
			asm.JNE.Imm(asm.R7, 0, "counted"),
			asm.JEq.Imm(asm.R8, unix.SYS_EXECVE, "counted"), // the first of its calls
			asm.JNE.Imm(asm.R8, unix.SYS_EXECVEAT, "exit"),
			asm.JNE.Imm(asm.R8, unix.SYS_IOCTL, "count").WithSymbol("counted"),
			argument(asm.R3, 0),
			asm.Add.Imm(asm.R3, secondArgument),
		},
		onStack(asm.R1, request),
		asm.Instructions{
			asm.Mov.Imm(asm.R2, 8),
			asm.FnProbeReadKernel.Call(),
			asm.LoadMem(asm.R1, asm.RFP, request, asm.Word),
			asm.JNE.Imm(asm.R1, kvmRun, "count"),
		},
		m.setState(stateGuest, key, value),
		asm.Instructions{asm.Mov.Reg(asm.R1, asm.RFP).WithSymbol("count"), asm.Add.Imm(asm.R1, kind)},
		asm.Instructions{
			asm.Mov.Imm(asm.R2, commandSize),
			asm.FnGetCurrentComm.Call(),
			store(number, asm.R8),
			asm.Mov.Imm(asm.R1, stateGuest),
			store(key, asm.R1),
		},
		ask(asm.FnMapLookupElem, m.state, key),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "exit"), // which cannot be, but the verifier does not know
			load(asm.R1),
			store(guest, asm.R1),
		},
		ask(asm.FnMapLookupElem, m.counts, kind),
		asm.Instructions{
			asm.JNE.Imm(asm.R0, 0, "add"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreMem(asm.RFP, one, asm.R1, asm.DWord),
		},
		update(m.counts, kind, one, ebpf.UpdateNoExist),
		asm.Instructions{asm.JEq.Imm(asm.R0, 0, "exit")},
		ask(asm.FnMapLookupElem, m.counts, kind), // another processor was first, or there is no room
		asm.Instructions{asm.JNE.Imm(asm.R0, 0, "add")},
		m.setState(stateLost, key, value),
		asm.Instructions{
			asm.Ja.Label("exit"),
			asm.Mov.Imm(asm.R1, 1).WithSymbol("add"),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		},
	)
}
