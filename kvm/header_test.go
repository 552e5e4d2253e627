package kvm

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLayout holds numbers, sizes and offsets against literals, on any
// machine.
func TestLayout(t *testing.T) {
	for _, row := range slices.Concat(requestLayout, structLayout, runLayout, faultLayout) {
		if row.got != row.want {
			t.Errorf("%s is %#x, want %#x", row.c, row.got, row.want)
		}
	}
}

// constantLayout returns a row for each constant that has the name of the
// header's, and for the flags.
func constantLayout() []layoutRow {
	rows := []layoutRow{
		{c: "KVM_API_VERSION", got: apiVersion},
		{c: "KVM_MEM_LOG_DIRTY_PAGES", got: uint64(SlotLogDirtyPages)},
		{c: "KVM_MEM_READONLY", got: uint64(SlotReadOnly)},
		{c: "KVM_IRQCHIP_PIC_MASTER", got: ChipPICMaster},
		{c: "KVM_IRQCHIP_PIC_SLAVE", got: ChipPICSlave},
		{c: "KVM_IRQCHIP_IOAPIC", got: ChipIOAPIC},
		{c: "KVM_IRQ_ROUTING_IRQCHIP", got: routeToPin},
		{c: "KVM_IRQ_ROUTING_MSI", got: routeToMSI},
		{c: "KVM_IRQFD_FLAG_DEASSIGN", got: irqfdDeassign},
		{c: "KVM_IRQFD_FLAG_RESAMPLE", got: irqfdResample},
		{c: "KVM_IOEVENTFD_FLAG_DATAMATCH", got: ioeventfdDataMatch},
		{c: "KVM_IOEVENTFD_FLAG_PIO", got: ioeventfdPIO},
		{c: "KVM_IOEVENTFD_FLAG_DEASSIGN", got: ioeventfdDeassign},
		{c: "KVM_PIT_SPEAKER_DUMMY", got: PITSpeakerDummy},
		{c: "KVM_CLOCK_TSC_STABLE", got: uint64(ClockTSCStable)},
		{c: "KVM_CLOCK_REALTIME", got: uint64(ClockRealtime)},
		{c: "KVM_CLOCK_HOST_TSC", got: uint64(ClockHostTSC)},
		{c: "KVM_CPUID_FLAG_SIGNIFCANT_INDEX", got: uint64(CPUIDSignificantIndex)},
		{c: "KVM_VCPUEVENT_VALID_NMI_PENDING", got: uint64(EventsNMIPending)},
		{c: "KVM_VCPUEVENT_VALID_SIPI_VECTOR", got: uint64(EventsSIPIVector)},
		{c: "KVM_VCPUEVENT_VALID_SHADOW", got: uint64(EventsShadow)},
		{c: "KVM_VCPUEVENT_VALID_SMM", got: uint64(EventsSMM)},
		{c: "KVM_VCPUEVENT_VALID_PAYLOAD", got: uint64(EventsPayload)},
		{c: "KVM_VCPUEVENT_VALID_TRIPLE_FAULT", got: uint64(EventsTripleFault)},
		{c: "KVM_GUESTDBG_ENABLE", got: uint64(DebugEnable)},
		{c: "KVM_GUESTDBG_SINGLESTEP", got: uint64(DebugSingleStep)},
		{c: "KVM_GUESTDBG_USE_SW_BP", got: uint64(DebugUseSWBreakpoints)},
		{c: "KVM_GUESTDBG_USE_HW_BP", got: uint64(DebugUseHWBreakpoints)},
		{c: "KVM_MSR_EXIT_REASON_INVAL", got: uint64(MSRExitInvalid)},
		{c: "KVM_MSR_EXIT_REASON_UNKNOWN", got: uint64(MSRExitUnknown)},
		{c: "KVM_MSR_EXIT_REASON_FILTER", got: uint64(MSRExitFilter)},
		{c: "KVM_EXIT_IO_OUT", got: ioOut},
		{c: "KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES", got: hasInstructionBytes},
	}
	rows = appendNamed(rows, capNames)
	rows = appendNamed(rows, exitReasonNames)
	rows = appendNamed(rows, mpStateNames)
	rows = appendNamed(rows, systemEventNames)
	return appendNamed(rows, internalErrorNames)
}

func appendNamed[T ~uint32](rows []layoutRow, names map[T]string) []layoutRow {
	for v, name := range names {
		rows = append(rows, layoutRow{c: name, got: uint64(v)})
	}
	return rows
}

// TestHeader asks the C compiler what this machine's header says. It allows
// for a header that is older than the newest constants here.
func TestHeader(t *testing.T) {
	var program strings.Builder
	program.WriteString("#include <linux/kvm.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n")
	print := func(row layoutRow) {
		fmt.Fprintf(&program, "printf(\"%%llx %%s\\n\", (unsigned long long)(%s), %q);\n", row.c, row.c)
	}
	want := make(map[string]uint64)
	for _, row := range slices.Concat(requestLayout, structLayout, runLayout) {
		print(row)
		want[row.c] = row.got
	}
	for _, row := range constantLayout() {
		fmt.Fprintf(&program, "#ifdef %s\n", row.c)
		print(row)
		program.WriteString("#endif\n")
		want[row.c] = row.got
	}
	program.WriteString("#ifdef KVM_EXIT_MEMORY_FAULT\n")
	for _, row := range faultLayout {
		print(row)
		want[row.c] = row.got
	}
	program.WriteString("#endif\nreturn 0;\n}\n")

	checked := 0
	for lines := bufio.NewScanner(bytes.NewReader(compileAndRun(t, program.String()))); lines.Scan(); {
		var got uint64
		hex, name, _ := strings.Cut(lines.Text(), " ")
		if _, err := fmt.Sscanf(hex, "%x", &got); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if got != want[name] {
			t.Errorf("%s is %#x in the header, %#x here", name, got, want[name])
		}
		checked++
	}
	if least := len(requestLayout) + len(structLayout) + len(runLayout); checked < least {
		t.Errorf("the header was asked for %d values, at least %d should be in any", checked, least)
	}
	t.Logf("%d of %d values are in this machine's header", checked, len(want))
}

// compileAndRun returns the output of a C program, or skips the test if there
// is no compiler or no header.
func compileAndRun(t *testing.T, program string) []byte {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		skip(t, "no C compiler: "+err.Error())
	}
	if _, err := os.Stat("/usr/include/linux/kvm.h"); err != nil {
		skip(t, "no kernel header (Debian: linux-libc-dev): "+err.Error())
	}
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "probe.c"), filepath.Join(dir, "probe")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
