package initramfs

import (
	"slices"
	"strings"

	"microvm/guestinit"
)

// shellCommand is the command that runs where the kernel's command line names
// none.
const shellCommand = "sh"

// The Go import paths of commands.
const (
	ourPath  = "microvm/guestinit/"
	corePath = "github.com/u-root/u-root/cmds/core/"
	expPath  = "github.com/u-root/u-root/cmds/exp/"
)

// ourCommands are this project's own.
var ourCommands = []string{shellCommand}

// DefaultCommands make a system in which a person can look around: a shell, the
// tools for files, text, processes, mounts, modules and addresses.
var DefaultCommands = strings.Fields(`
	basename cat chmod chroot cmp cp cpio date dd df dhclient dirname dmesg du echo
	false find free gosh grep gzip head hexdump hostname id insmod io ip kill
	ln losetup ls lsmod md5sum mkdir mkfifo mknod mktemp modprobe more mount mv
	netcat nohup pci pidof ping printenv ps pwd readlink realpath rm rmmod seq
	sh shasum sleep sort strings stty switch_root sync tail tar tee time timeout
	touch tr true truncate tty umount uname uniq unshare uptime wc wget which
	xargs yes`)

// coreCommands are u-root's core commands, but for those of Plan 9's and those
// that process 1 has taken over: init, poweroff and shutdown.
var coreCommands = strings.Fields(`
	backoff base64 basename blkid brctl cat chmod chroot cmp comm cp cpio date
	dd df dhclient dirname dmesg du echo false find free fusermount gosh gpgv
	gpt grep gzip head hexdump hostname hwclock id insmod io ip kexec kill
	lddfiles ln lockmsrs losetup ls lsdrivers lsfd lsmod man md5sum mkdir
	mkfifo mknod mktemp more mount msr mv netcat netstat nohup ntpdate pci
	pidof ping printenv ps pwd readlink realpath rm rmmod rsdp scp seq service
	shasum sleep sluinit sort sshd strace strings stty switch_root sync tail
	tar tee time timeout touch tr true truncate ts tsort tty umount uname uniq
	unshare update-rc.d uptime watchdog watchdogd wc wget which xargs yes`)

// expCommands are those of u-root's experimental commands that a guest has a
// use for.
var expCommands = strings.Fields(`dmidecode modprobe page tcpdump traceroute watch`)

// commandPath returns the import path of the command of this name, "" if there
// is none.
func commandPath(name string) string {
	switch {
	case slices.Contains(coreCommands, name):
		return corePath + name
	case slices.Contains(expCommands, name):
		return expPath + name
	case slices.Contains(ourCommands, name):
		return ourPath + name
	}
	return ""
}

// knownCommands returns every word that Options.Commands may hold.
func knownCommands() []string {
	known := slices.Concat(coreCommands, expCommands, ourCommands, guestinit.Commands)
	for set := range CommandSets {
		known = append(known, set)
	}
	slices.Sort(known)
	return known
}
