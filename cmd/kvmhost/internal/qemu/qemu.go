// Package qemu starts QEMU for the throw-away host.
package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is the emulator's name, and Install the command that installs it.
const (
	Program = "qemu-system-x86_64"
	Install = "apt-get install qemu-system-x86"
)

// A Directory is one of this host's directories that the guest may mount over
// virtio-9p.
type Directory struct {
	Path     string
	Tag      string // at most 31 bytes
	ReadOnly bool
}

// A Config is the machine that QEMU emulates.
type Config struct {
	CPUs        int
	MemoryMiB   int
	Kernel      *os.File // a bzImage, or an ELF with a PVH entry; read from its start
	Initramfs   *os.File // read from its start
	CommandLine string
	Log         *os.File // takes what the guest writes to its first serial port
	Directories []Directory
	Ports       []string // names of the virtio-serial ports
}

// A Machine is a running QEMU.
type Machine struct {
	Ports  []*os.File // this end of each port, in Config's order
	cmd    *exec.Cmd
	errors bytes.Buffer
}

// Start starts QEMU. It must be called on a thread that lives as long as the
// machine shall: when that thread ends the kernel kills QEMU, and so QEMU
// never outlives its caller, however that dies.
func Start(c Config) (*Machine, error) {
	program, err := exec.LookPath(Program)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed; to install it: %s", Program, Install)
	}
	m := &Machine{cmd: exec.Command(program)}
	m.cmd.Stderr = &m.errors
	m.cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:    true, // the terminal's signals are for the caller to forward
		Pdeathsig: syscall.SIGKILL,
	}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	for _, name := range c.Ports {
		our, their, err := socketPair(name)
		if err != nil {
			m.closePorts()
			return nil, err
		}
		m.Ports = append(m.Ports, our)
		theirs = append(theirs, their)
	}
	m.cmd.ExtraFiles = append([]*os.File{c.Kernel, c.Initramfs, c.Log}, theirs...)
	m.cmd.Args = append(m.cmd.Args, arguments(c)...)
	if err := m.cmd.Start(); err != nil {
		m.closePorts()
		return nil, err
	}
	return m, nil
}

// The descriptors that QEMU inherits, so that no file needs a name that
// somebody has to remove.
const (
	fdKernel = 3 + iota
	fdInitramfs
	fdLog
	fdPorts // and those that follow
)

// arguments returns QEMU's command line for c.
func arguments(c Config) []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35,usb=off,graphics=off",
		// TCG emulates AMD's SVM with the model "max". It does not intercept
		// XSETBV, so that KVM would not know what its guests set XCR0 to,
		// nor restore it: they do without XSAVE.
		//
		// Without ERMS kernels and libraries copy and clear memory by REP MOVSQ
		// and STOSQ instead of MOVSB and STOSB. TCG interprets each step of a
		// string instruction, so that these take a seventh of the time.
		"-accel", "tcg,thread=multi", "-cpu", "max,-xsave,-erms",
		"-smp", strconv.Itoa(c.CPUs), "-m", strconv.Itoa(c.MemoryMiB),
		"-kernel", fmt.Sprintf("/dev/fd/%d", fdKernel), "-initrd", fmt.Sprintf("/dev/fd/%d", fdInitramfs),
		"-append", c.CommandLine,
		"-chardev", fmt.Sprintf("file,id=log,path=/dev/fd/%d,append=on", fdLog), "-serial", "chardev:log",
	}
	for i, d := range c.Directories {
		fsdev := fmt.Sprintf("local,id=fs%d,path=%s,security_model=none,multidevs=remap", i, escape(d.Path))
		if d.ReadOnly {
			fsdev += ",readonly=on"
		}
		args = append(args, "-fsdev", fsdev, "-device", fmt.Sprintf("virtio-9p-pci,fsdev=fs%d,mount_tag=%s", i, d.Tag))
	}
	args = append(args, "-device", "virtio-serial-pci")
	for i, name := range c.Ports {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=port%d,fd=%d", i, fdPorts+i),
			"-device", fmt.Sprintf("virtserialport,chardev=port%d,nr=%d,name=%s", i, i+1, name))
	}
	return args
}

// escape writes a value for one of QEMU's options, where commas separate.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// socketPair returns two connected stream sockets.
func socketPair(name string) (our, their *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil { // so that Close ends a Read
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// Stop ends QEMU at once, whatever the guest is doing, and waits for its end.
// Its error is what QEMU had to say if it failed before that.
func (m *Machine) Stop() error {
	m.closePorts()
	if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := m.cmd.Wait()
	if m.cmd.ProcessState.Exited() && !m.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %w: %s", Program, err, strings.TrimSpace(m.errors.String()))
	}
	return nil
}

func (m *Machine) closePorts() {
	for _, port := range m.Ports {
		port.Close()
	}
}
