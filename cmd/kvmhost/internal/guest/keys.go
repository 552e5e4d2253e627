package guest

import "microvm/kvm"

// holdStaticKeys opens two virtual machines that nobody runs. They stay open as
// long as process 1 lives.
//
// Linux keeps rare cases out of hot code with static keys: it rewrites the code
// when the first user of a key comes and when the last one goes, for a moment
// with a breakpoint instruction. KVM has such keys in its own code and in the
// scheduler's: preempt_notifier_key for any VM, apic_sw_disabled for a vCPU
// whose local APIC is off, kvm_has_noapic_vcpu for one that has none. QEMU's
// TCG with a thread for each processor can miss such a write if another
// processor translates the same code at that moment. It then has a breakpoint
// that is no longer there, and the emulated host spins on it for ever. (Seen
// with QEMU 7.2, in __schedule, within some tens of guests.) With these VMs the
// keys stay on, and the code as it is.
func holdStaticKeys() error {
	sys, err := kvm.Open()
	if err != nil {
		return err
	}
	for _, apic := range []bool{false, true} {
		vm, err := sys.CreateVM()
		if err != nil {
			return err
		}
		if apic {
			if err := vm.CreateIRQChip(); err != nil {
				return err
			}
		}
		if _, err := vm.CreateVCPU(0); err != nil {
			return err
		}
	}
	return nil
}
