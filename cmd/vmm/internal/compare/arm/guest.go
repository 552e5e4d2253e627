package arm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"microvm/cmd/vmm/internal/cmdline"
	"microvm/cmd/vmm/internal/probe"
	"microvm/guestinit/initramfs"
	"microvm/kvm"
)

// A guest is what a monitor starts: a kernel with an initramfs of the root
// directory and our init.
type guest struct {
	kernel, initrd string
	// equipped is the initramfs of instances with extras, which has drivers for
	// them. The others do without, for loading them takes time.
	equipped string
	memory   uint64 // bytes
}

// newGuest makes the initramfs in dir.
func newGuest(e *Env, root, dir string) (guest, error) {
	initrd := filepath.Join(dir, "initrd")
	g := guest{kernel: e.Kernel, initrd: initrd, equipped: initrd, memory: e.Memory}
	if err := initramfs.Extend(e.GuestInit, root, g.initrd); err != nil || e.GuestDrivers == "" {
		return g, err
	}
	g.equipped = filepath.Join(dir, "initrd-drivers")
	return g, initramfs.Extend(e.GuestDrivers, root, g.equipped)
}

// initramfs is that of an instance with extras x.
func (g guest) initramfs(x Extras) string {
	if x == (Extras{}) {
		return g.initrd
	}
	return g.equipped
}

// files are those that a start needs.
func (g guest) files() []string { return []string{g.kernel, g.initrd} }

// mebibytes is the memory as most monitors want it.
func (g guest) mebibytes() string { return fmt.Sprint(g.memory >> 20) }

// markPort is where a monitor's debug console takes the guest's marks, where Bochs had
// the first of these consoles. It is told to the guest, whose ACPI tables do not know of
// it. QEMU's q35 has devices of its chipset at 0x600 to 0x67f and 0x700 to 0x73f, which
// ports there would disturb.
const markPort = "0xe9"

// guestLine returns a kernel's command line for a guest whose init runs argv. The
// parameters are those that the monitor needs beside the console's.
func guestLine(argv []string, parameters ...string) (string, error) {
	return cmdline.Build("console=ttyS0 panic=-1 quiet", parameters, argv)
}

// speedTime is how long the speed of a guest's code is measured.
const speedTime = 20 * time.Millisecond

// needGuest returns an error if this host cannot run guests, or e has none.
func needGuest(e *Env) error {
	if err := needFiles(map[string]string{"kernel": e.Kernel, "initramfs with our init": e.GuestInit}); err != nil {
		return err
	}
	system, err := kvm.Open()
	if err != nil {
		return err
	}
	defer system.Close()
	speed, err := probe.MeasureSpeed(system, speedTime)
	if err != nil {
		return err
	}
	if !speed.Hardware() {
		return errors.New("this host's KVM interprets a kernel's code, so that a guest takes minutes to start: see vmm doctor")
	}
	return nil
}

// A monitorArm runs the payload in a virtual machine.
type monitorArm struct {
	about
	program string
	version []string // arguments by which the program tells its version
	// prepare returns what starts instances of a guest, from the program at path.
	prepare func(path string, g guest, dir string) (Prepared, error)
}

func (a monitorArm) Probe(ctx context.Context, e *Env) (string, error) {
	v, err := versionOf(ctx, a.program, a.version...)
	if err != nil {
		return "", err
	}
	return v, needGuest(e)
}

func (a monitorArm) Prepare(_ context.Context, e *Env, root, dir string) (Prepared, error) {
	path, err := findProgram(a.program)
	if err != nil {
		return nil, err
	}
	g, err := newGuest(e, root, dir)
	if err != nil {
		return nil, err
	}
	return a.prepare(path, g, dir)
}
