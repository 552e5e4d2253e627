package kvm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// runPageOf returns a run page with an exit of the given reason, and the union
// as given.
func runPageOf(reason ExitReason, union ...byte) []byte {
	page := make([]byte, 2*4096)
	binary.LittleEndian.PutUint32(page[offExitReason:], uint32(reason))
	copy(page[offExit:], union)
	return page
}

// words returns the little-endian bytes of vs.
func words(vs ...uint64) []byte {
	var b []byte
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// TestDecode covers what no tiny guest reaches on every host.
func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name  string
		page  []byte
		want  string
		check func(Exit) bool // nil: the string says it all
	}{
		{"system event", runPageOf(ExitSystemEvent, words(1<<32|2, 0x55)...),
			"KVM_SYSTEM_EVENT_RESET, data [0x55]",
			func(e Exit) bool {
				s := e.(*SystemEventExit)
				return s.Type == SystemEventReset && slices.Equal(s.Data, []uint64{0x55})
			}},
		{"system event with too many data", runPageOf(ExitSystemEvent, words(1<<63|1)...),
			"KVM_SYSTEM_EVENT_SHUTDOWN, data [0x0",
			func(e Exit) bool { return len(e.(*SystemEventExit).Data) == maxData }},
		{"emulation", runPageOf(ExitInternalError, words(3<<32|1, 1, 0xcc_90_02)...),
			"KVM_INTERNAL_ERROR_EMULATION, instruction 90 cc",
			func(e Exit) bool { return bytes.Equal(e.(*InternalErrorExit).Instruction, []byte{0x90, 0xcc}) }},
		{"emulation with a size that lies", runPageOf(ExitInternalError, words(3<<32|1, 1, 0xff)...),
			"KVM_INTERNAL_ERROR_EMULATION, instruction 00",
			func(e Exit) bool { return len(e.(*InternalErrorExit).Instruction) == maxInstruction }},
		{"emulation without an instruction", runPageOf(ExitInternalError, words(3<<32|1, 0, 0xcc_90_02)...),
			"KVM_INTERNAL_ERROR_EMULATION, data [0x0 0xcc9002 0x0]", nil},
		{"delivery", runPageOf(ExitInternalError, words(2<<32|3, 7, 8)...),
			"KVM_INTERNAL_ERROR_DELIVERY_EV, data [0x7 0x8]", nil},
		{"fail entry", runPageOf(ExitFailEntry, words(0x80000021, 3)...),
			"KVM_EXIT_FAIL_ENTRY, hardware reason 0x80000021 on host CPU 3", nil},
		{"unknown", runPageOf(ExitUnknown, words(0x1234)...), "KVM_EXIT_UNKNOWN, hardware reason 0x1234", nil},
		{"without a type", runPageOf(ExitHyperV, words(0x1234)...), "KVM_EXIT_HYPERV, hardware reason 0x0", nil},
		{"MMIO of 8 bytes", runPageOf(ExitMMIO, words(0xd000_0000, 0x0807060504030201, 1<<32|8)...),
			"KVM_EXIT_MMIO write 0xd0000000: 01 02 03 04 05 06 07 08", nil},
		{"ports", runPageOf(ExitIO, words(3<<32|0x3f8<<16|2<<8, 4096)...),
			"KVM_EXIT_IO in port 0x3f8, 3 of 2 bytes",
			func(e Exit) bool { return len(e.(*IOExit).Data) == 6 }},
	} {
		var x exits
		exit, err := x.decode(tt.page)
		if err != nil || !strings.HasPrefix(exit.String(), tt.want) || tt.check != nil && !tt.check(exit) {
			t.Errorf("%s: %v, %v; want %s", tt.name, exit, err, tt.want)
		}
	}
}

func TestDecodeMemoryFault(t *testing.T) {
	var x exits
	want := MemoryFaultExit{Flags: 8, Addr: 0x1000, Size: 4096}
	if got := x.memoryFaultOf(runPageOf(ExitMemoryFault, words(8, 0x1000, 4096)...)); got == nil || *got != want {
		t.Errorf("got %v, want %v", got, &want)
	}
	if got := x.memoryFaultOf(runPageOf(ExitIO)); got != nil {
		t.Errorf("of another exit: %v", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		page []byte
	}{
		{"data behind the page", runPageOf(ExitIO, words(1<<32|1<<8, 2*4096)...)},
		{"data over the page's end", runPageOf(ExitIO, words(2<<32|4<<8, 2*4096-7)...)},
		{"data at an absurd offset", runPageOf(ExitIO, words(1<<32|1<<8, 1<<63)...)},
		{"absurdly many data", runPageOf(ExitIO, words(0xffff_ffff<<32|0xff<<8, 4096)...)},
		{"MMIO of 9 bytes", runPageOf(ExitMMIO, words(0, 0, 9)...)},
	} {
		var x exits
		if exit, err := x.decode(tt.page); err == nil {
			t.Errorf("%s: %v", tt.name, exit)
		}
	}
}

// FuzzDecode states the law: whatever is in the run page, decode does not
// panic, and an Exit has the page's reason, a string, and data of the length
// that it says.
func FuzzDecode(f *testing.F) {
	for reason := range exitReasonNames {
		f.Add(uint32(reason), words(1<<32|1<<8, 4096, 1))
		f.Add(uint32(reason), words(3<<32|1, 1, 0xcc_90_02))
	}
	f.Fuzz(func(t *testing.T, reason uint32, union []byte) {
		page := runPageOf(ExitReason(reason), union[:min(len(union), 256)]...)
		var x exits
		exit, err := x.decode(page)
		if err != nil {
			return
		}
		if exit.Reason() != ExitReason(reason) || exit.String() == "" {
			t.Fatalf("reason %d became %v", reason, exit)
		}
		switch e := exit.(type) {
		case *IOExit:
			if len(e.Data) != int(e.Size)*int(e.Count) {
				t.Fatalf("%v has %d bytes", e, len(e.Data))
			}
		case *X86RDMSRExit:
			e.Answer(1)
			e.Fault()
		}
	})
}
