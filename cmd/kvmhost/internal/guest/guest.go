// Package guest is process 1 of the throw-away host. It makes that host look
// like the one that kvmhost was called on, runs one command, and passes on
// its streams, its terminal and its exit status.
//
// Its own root file system is the initramfs; the command's is an overlay:
//
//	/                  overlay: a tmpfs over the real host's /, by 9p, read-only
//	/proc /sys /dev …  this host's own
//	each share         the real host's directory, by 9p, writable
package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/kvmhost/internal/initramfs"
	"microvm/cmd/kvmhost/internal/wire"
)

// RootTag is the 9p mount tag of the real host's root directory.
const RootTag = "kvmhost.root"

// Main is process 1's life. It does not return: it powers the host off.
func Main() {
	err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kvmhost:", err) // to the kernel's console
	}
	powerOff()
}

// powerOff ends this host. It does not return.
func powerOff() {
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintln(os.Stderr, "kvmhost: power off:", err)
	os.Exit(1) // the end of process 1 is a panic, which ends the host as well
}

func run() error {
	if err := mountAll("/", kernelMounts); err != nil {
		return err
	}
	if err := loadModules("/" + initramfs.ModuleDir); err != nil {
		return err
	}
	if err := holdStaticKeys(); err != nil {
		return err
	}
	ports, err := openPorts(wire.Ports)
	if err != nil {
		return err
	}
	s := &session{control: wire.NewConn(ports[0]), stdin: ports[1], stdout: ports[2], stderr: ports[3]}
	if err := s.send(wire.Message{Kind: wire.Ready}); err != nil {
		return fmt.Errorf("control port: %w", err)
	}
	m, err := s.control.Receive()
	if err != nil {
		return fmt.Errorf("control port: %w", err)
	}
	if m.Kind != wire.Run {
		return fmt.Errorf("control port: message of kind %d where a job is due", m.Kind)
	}
	s.do(&m.Job)
	return nil
}

// loadModules loads the modules in dir in the order of their names.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := loadModule(file); err != nil {
			return fmt.Errorf("module %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// openPorts opens the virtio-serial ports of these names, which the kernel
// finds at its own pace once it has the driver.
func openPorts(names []string) ([]*os.File, error) {
	const patience, step = 30 * time.Second, 2 * time.Millisecond
	ports := make([]*os.File, len(names))
	for i, name := range names {
		var device string
		for waited := time.Duration(0); device == ""; waited += step {
			if waited > patience {
				return nil, fmt.Errorf("no virtio-serial port %q", name)
			}
			time.Sleep(step)
			device = findPort(name)
		}
		// Blocking descriptors: os would poll them, and gain nothing.
		fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", device, err)
		}
		ports[i] = os.NewFile(uintptr(fd), name)
	}
	return ports, nil
}

// findPort returns the device file of the port of this name, if it is there.
func findPort(name string) string {
	files, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && string(text) == name+"\n" {
			return "/dev/" + filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

// A session is process 1's side of the conversation with kvmhost.
type session struct {
	control               *wire.Conn
	sending               sync.Mutex // guards control.Send
	stdin, stdout, stderr *os.File   // ports
}

func (s *session) send(m wire.Message) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.control.Send(m)
}

// tell sends what kvmhost can do without. That it cannot be told is no reason to
// stop: if it has gone away, obey sees that.
func (s *session) tell(m wire.Message) { _ = s.send(m) }

// do runs the job and reports how it ended. It returns when kvmhost has gone away:
// kvmhost stops this host once it has read everything, and what is still in the ports'
// queues when a host powers itself off is lost.
func (s *session) do(job *wire.Job) {
	c, err := s.begin(job)
	if err != nil {
		s.fail(err)
	} else {
		go s.finish(c, job.Shares)
	}
	s.obey(c)
}

// begin makes this host look like the real one and starts the command.
func (s *session) begin(job *wire.Job) (*running, error) {
	if err := becomeHost(job); err != nil {
		return nil, err
	}
	s.tell(wire.Message{Kind: wire.Mark, Text: "file systems mounted"})
	return s.start(job)
}

// killAll ends every process but this one.
func killAll() { _ = syscall.Kill(-1, syscall.SIGKILL) }
