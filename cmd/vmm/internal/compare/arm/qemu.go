package arm

import "errors"

// qemuPackage is how to install it.
const qemuPackage = "apt-get install qemu-system-x86"

// newQEMU returns the arm of a machine, which flags are for besides those of all.
func newQEMU(name, summary, machine string, flags []string, access func(Extras) (Access, error)) Arm {
	return monitorArm{
		about:   about{name, VM, summary, qemuPackage, guestPasses},
		program: "qemu-system-x86_64", version: []string{"--version"},
		prepare: func(path string, g guest, _ string) (Prepared, error) {
			return plain{files: g.files(), access: access, command: func(id string, argv []string, x Extras) (*Command, error) {
				c, err := qemuCommand(path, machine, g, id, argv, x)
				if err != nil {
					return nil, err
				}
				c.Argv = append(c.Argv, flags...)
				return c, nil
			}}, nil
		},
	}
}

func newMicroVM() Arm {
	return newQEMU("qemu-microvm", "QEMU's smallest machine, made for guests that start fast", "microvm", nil, func(Extras) (Access, error) {
		return Access{Network: "user", Host: userHost, Listen: loopback, Address: userGuest, File: guestDisk, FileAs: "virtio-blk"}, nil
	})
}

// What accelerates the APIC for 32-bit Windows is off: it reads all of the processor's state
// and sets it again, with a task state segment that is busy, as it must be. An emulated
// host does not look for the right to use a port in one (QEMU's helper_check_io), so that
// a write to the port of marks would end the guest's init.
func newQ35() Arm {
	return newQEMU("qemu-q35", "QEMU's model of a PC, with its firmware and PCI", "q35", []string{"-global", "kvm-apic.vapic=off"}, func(Extras) (Access, error) {
		return Access{}, errors.New("its devices are on PCI, for which these guests have no driver")
	})
}

// qemuCommand has in the machine what ours has. What is written to the debug
// console's port arrives at descriptor 3; the guest's console is standard input and
// output.
func qemuCommand(path, machine string, g guest, id string, argv []string, x Extras) (*Command, error) {
	line, err := guestLine(argv, "guestport="+markPort)
	if err != nil {
		return nil, err
	}
	c := []string{path, "-name", id, "-M", machine, "-accel", "kvm", "-cpu", "host", "-m", g.mebibytes(), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "file,id=marks,path=/dev/fd/3", "-device", "isa-debugcon,iobase=" + markPort + ",chardev=marks",
		"-kernel", g.kernel, "-initrd", g.initramfs(x), "-append", line}
	if x.Network {
		c = append(c, "-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net")
	}
	if x.File != "" {
		c = append(c, "-drive", "if=none,id=disk,format=raw,readonly=on,file="+x.File, "-device", "virtio-blk-device,drive=disk")
	}
	return &Command{ID: id, Argv: c, Marks: ByteMarks}, nil
}
