package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microvm/boot"
	"microvm/cmd/kvmhost/internal/guest"
	"microvm/cmd/kvmhost/internal/initramfs"
	"microvm/cmd/kvmhost/internal/kernel"
	"microvm/cmd/kvmhost/internal/qemu"
	"microvm/cmd/kvmhost/internal/wire"
)

// commandLine is the throw-away kernel's. On a busy machine the emulated
// processors stand still for longer than real ones ever do. The kernel would
// take that for a broken clock, or a timer that does not interrupt.
//
// With huge pages behind the memory of its guests, one in three guests of 4 GiB
// dies of a triple fault or hangs at some point of its boot, by whichever entry
// its kernel was started; without them none did. QEMU's nested paging seems to
// be at fault.
const commandLine = "console=ttyS0 panic=-1 tsc=reliable no_timer_check transparent_hugepage=never"

// emulate runs the command on a throw-away host and returns its exit status.
func emulate(o *options) (status int, err error) {
	progress := newProgress(o.verbose)
	job, err := newJob(o.command, o.shares)
	if err != nil {
		return 0, err
	}
	k, err := chooseKernel(o)
	if err != nil {
		return 0, err
	}
	progress.say("kernel " + k.Image)
	log, err := openLog(o.kernelLog)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	signals := catchSignals() // from the moment on that there is something to stop
	defer signal.Stop(signals)
	machine, err := startMachine(o, k, job.Shares, log, progress)
	if err != nil {
		return 0, err
	}
	progress.say("QEMU started")

	s, err := newSession(job, machine.Ports, signals, progress)
	if err != nil {
		return 0, errors.Join(err, machine.Stop())
	}
	status, err = s.run()
	stopErr := machine.Stop()
	s.wait()
	if _, failed := errors.AsType[hostError](err); failed {
		return 0, errors.Join(err, stopErr, tail(log, o.kernelLog))
	}
	progress.say("throw-away host stopped")
	return status, err
}

func chooseKernel(o *options) (*kernel.Kernel, error) {
	if o.kernel != "" {
		return kernel.Open(o.kernel, o.modules)
	}
	return kernel.Find("/")
}

// startMachine starts QEMU with the kernel k, an initramfs made for it, and
// the directories that it is to see.
func startMachine(o *options, k *kernel.Kernel, shares []wire.Share, log *os.File, progress *progress) (*qemu.Machine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	image, err := openImage(k, progress)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	archive, err := memfd("initramfs")
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	if err := initramfs.Write(archive, self, k.Modules); err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	directories := []qemu.Directory{{Path: "/", Tag: guest.RootTag, ReadOnly: true}}
	for _, s := range shares {
		directories = append(directories, qemu.Directory{Path: s.Path, Tag: s.Tag})
	}
	return qemu.Start(qemu.Config{
		CPUs:        o.cpus,
		MemoryMiB:   o.memoryMiB,
		Kernel:      image,
		Initramfs:   archive,
		CommandLine: commandLine,
		Log:         log,
		Directories: directories,
		Ports:       wire.Ports,
	})
}

// openImage opens the kernel decompressed, which takes the emulated processor
// two seconds and, with vmm's cache, this one next to nothing. A kernel that
// has no PVH entry does it itself.
func openImage(k *kernel.Kernel, progress *progress) (*os.File, error) {
	image, err := boot.Open(k.Image)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	plain, err := memfd("kernel")
	if err != nil {
		return nil, err
	}
	cacheDir, _ := boot.DefaultCacheDir() // without it there is no cache
	if err := image.WriteELF(plain, cacheDir); err != nil {
		progress.say("kernel decompresses itself: " + err.Error())
		plain.Close()
		return os.Open(k.Image)
	}
	progress.say("kernel decompressed")
	return plain, nil
}

// memfd returns a new file in memory, which needs no name and no removal.
func memfd(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("kvmhost-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openLog opens the file that takes the kernel's log. With no name it is in
// memory.
func openLog(name string) (*os.File, error) {
	if name == "" {
		return memfd("kernel-log")
	}
	return os.Create(name)
}

// tail returns what a person should see of the kernel's log after a failure:
// nil if there is none.
func tail(log *os.File, name string) error {
	if name != "" {
		return fmt.Errorf("its kernel's log is in %s", name)
	}
	const shown = 80 // lines: a panic's report with registers and a long call trace
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", log.Fd()))
	if err != nil || len(text) == 0 {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(len(lines)-shown, 0):]
	return errors.New("the end of its kernel's log:\n" + strings.Join(lines, "\n"))
}

// progress tells who wants to know what was done when.
type progress struct {
	verbose bool
	start   time.Time
}

func newProgress(verbose bool) *progress { return &progress{verbose, time.Now()} }

func (p *progress) say(what string) {
	if p.verbose {
		fmt.Fprintf(os.Stderr, "kvmhost: %6.3f s  %s\n", time.Since(p.start).Seconds(), what)
	}
}
