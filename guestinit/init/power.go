package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The signals by which process 1 is asked to end the guest: our own commands
// use what other inits take for power-off and reboot, and SIGPWR is from power
// supplies. SIGINT does nothing: it is what Ctrl-C sends while no payload is in
// the foreground yet. (Ctrl-Alt-Del would send it only if process 1 had asked
// for that by reboot(2); the kernel restarts by itself.)
const (
	signalPowerOff = unix.SIGUSR2
	signalReboot   = unix.SIGTERM
)

// obeySignals ends the guest in order when it is asked to, and keeps process 1
// alive for all other signals: those that are not claimed here would end it by
// the Go runtime's choice.
func obeySignals() {
	// SIGURG is how the runtime preempts goroutines, SIGCHLD no news.
	var claimed []os.Signal
	for s := unix.Signal(1); s <= unix.SIGSYS; s++ {
		if s != unix.SIGKILL && s != unix.SIGSTOP && s != unix.SIGURG && s != unix.SIGCHLD {
			claimed = append(claimed, s)
		}
	}
	received := make(chan os.Signal, 8)
	signal.Notify(received, claimed...)
	go func() { // lives as long as the guest
		for s := range received {
			switch s {
			case signalPowerOff, unix.SIGPWR:
				claimEnd()
				end(powerOff)
			case signalReboot:
				claimEnd()
				end(restart)
			}
		}
	}()
}

// The ways to end a guest (reboot(2)).
const (
	powerOff = unix.LINUX_REBOOT_CMD_POWER_OFF
	restart  = unix.LINUX_REBOOT_CMD_RESTART
)

// ending is held for ever by who ends the guest.
var ending sync.Mutex

// claimEnd returns to its first caller only. So a payload that is killed
// because the guest is powered off is not reported as a failure.
func claimEnd() { ending.Lock() }

// end ends the guest in one of these ways, and does not return.
//
// Preconditions: claimEnd has returned.
func end(how int) {
	if how == powerOff && !canPowerOff("/sys") {
		how = restart
	}
	stopProcesses()
	unmount()
	unix.Sync()
	drainConsole()
	err := unix.Reboot(how)
	say("reboot(2): ", err.Error(), "; restarting")
	err = unix.Reboot(restart)
	say("restart: ", err.Error(), "; nothing more can be done")
	for { // the end of process 1 would be a panic
		_ = unix.Pause()
	}
}

// canPowerOff reports whether the machine whose sysfs is at sys can be switched off,
// for which all have ACPI. The kernel of one without would halt it for ever (linux
// kernel/reboot.c); monitors without ACPI, such as Firecracker, end when it restarts.
func canPowerOff(sys string) bool {
	if _, err := os.Stat(filepath.Join(sys, "firmware")); err != nil {
		return true // it is not known
	}
	_, err := os.Stat(filepath.Join(sys, "firmware/acpi"))
	return err == nil
}

// grace is how long processes may take to end when they are told to. A guest
// that is powered off is to be gone within a second.
const grace = 500 * time.Millisecond

// killTime is how long processes may take to be gone when they are killed. Only
// one that waits for a device takes longer than a moment.
const killTime = 500 * time.Millisecond

// stopProcesses ends all processes but this one, and waits until they are gone:
// what they have open keeps file systems busy. Where there are none it does not
// wait.
func stopProcesses() {
	if !reap() {
		return
	}
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGCONT) // those that are stopped hear nothing else
	if reapAll(grace) {
		return
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	reapAll(killTime)
}

// reapAll collects processes for at most limit, and reports whether all have
// ended.
func reapAll(limit time.Duration) bool {
	const step = 10 * time.Millisecond
	for waited := time.Duration(0); waited < limit; waited += step {
		time.Sleep(step)
		if !reap() {
			return true
		}
	}
	return false
}

// reap collects what has ended and reports whether any process is left. All
// are children of process 1, or of its children.
func reap() (left bool) {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err != nil && err != unix.EINTR {
			return false
		}
		if pid == 0 && err == nil {
			return true
		}
	}
}

// unmount unmounts what was mounted after the start, the last first, so that
// disks are left clean.
func unmount() {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	mounted := mounts(string(text))
	for i := len(mounted) - 1; i >= 0; i-- {
		if !ours(mounted[i]) {
			// One that is busy is at least synced.
			_ = unix.Unmount(mounted[i].target, 0)
		}
	}
}

// mounts returns the file system and the directory in each line of text, that of
// /proc/self/mounts. Blanks in them are octal there (getmntent(3)).
func mounts(text string) (mounted []mount) {
	decode := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 2 {
			mounted = append(mounted, mount{target: decode.Replace(fields[1]), fstype: decode.Replace(fields[2])})
		}
	}
	return mounted
}

// ours reports whether m was mounted at the start, and so holds no disk. What is
// mounted over one of those is of another type.
func ours(m mount) bool {
	if m.target == "/" {
		return true
	}
	for _, p := range append([]part{procMount}, root...) {
		if of, is := p.(mount); is && of.target == m.target && of.fstype == m.fstype {
			return true
		}
	}
	return false
}

// drainTime is how long output may take to leave the serial port. It is nothing
// unless the monitor's reader is slow; one that has stalled must not keep the
// guest alive.
const drainTime = 2 * time.Second

// drainConsole waits for output to leave the serial port: what is still in the
// driver's buffer when the power goes is lost.
func drainConsole() {
	const drain = 1 // TCSBRK with an argument other than 0 is tcdrain(3)
	// The payload's process group is in the foreground of the console, which
	// is our controlling terminal. Others may wait for it only if they ignore
	// this signal: with a handler it fails at once.
	signal.Ignore(unix.SIGTTOU)
	drained := make(chan struct{})
	go func() { // ends with the guest at the latest
		_ = unix.IoctlSetInt(console, unix.TCSBRK, drain)
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainTime):
	}
}
