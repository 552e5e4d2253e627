// Package guestinit is the guest's own system: process 1, a shell, and the
// initramfs that carries them with u-root's commands.
//
//	guestinit/init       process 1, and the commands that ask it to end
//	guestinit/sh         the shell
//	guestinit/payload    the program that "vmm compare" runs in guests and elsewhere
//	guestinit/port       the port by which both tell the monitor how far they are
//	guestinit/initramfs  builds the archive, on the host
//	guestinit/modules    which kernel modules need which, on the host
//	guestinit/kernel     brings Debian's kernels, and builds a small one
//	guestinit/rootfs     makes a disk with Debian's systemd
//
// The constants here are what process 1 and the builder agree on. Nothing of
// this runs in the monitor but the builder, and nothing of the monitor's runs
// in the guest but the constants of devices/guestport.
//
// # The life of a guest, from process 1's first instruction to power-off
//
//	the kernel unpacks the archive, opens /dev/console, starts /init
//	  │
//	  ├─ mount /proc, find "MVMM0001:00" in /proc/ioports
//	  ├─ mark: StageInit            the first thing that anyone can see of it
//	  ├─ claim signals              from now on nothing but us ends process 1
//	  ├─ mount the rest             devtmpfs, devpts, sysfs, cgroup2, tmpfs
//	  ├─ host name, loopback
//	  ├─ load modules               those that modules.load lists for this kernel
//	  ├─ root=, if given            the disk's system takes over; see below
//	  ├─ console                    raw; ask the monitor what is at its other end
//	  ├─ ip=, if given              an address for the network, by ip(8) or dhclient(8)
//	  ├─ mark: StageReady
//	  │
//	  ├─ what follows "--" on the kernel's command line, else /bin/sh, else nothing
//	  ├─ mark: StagePayload         the payload starts, in the foreground
//	  │      … process 1 reaps orphans
//	  ├─ mark: StagePayloadEnd
//	  ├─ report its exit status     128 and the number for a signal
//	  │
//	  └─ end: SIGTERM, half a second, SIGKILL; unmount; sync; drain the
//	     console; reboot(2): power off
//
// The commands poweroff, halt, reboot and shutdown are the same program under
// other names. They send process 1 a signal, and it ends the guest in the same
// order. Then no exit status is reported: the payload did not end by itself.
// SIGPWR powers off as well.
//
// The end of process 1 would be a kernel panic. So it returns from nothing,
// takes every signal that would end a Go program, and where the machine cannot
// power off it restarts.
//
// # A root on a disk
//
// With root= on the kernel's command line process 1 does what an initramfs is
// for. The parameters are the kernel's own (kernel-parameters):
//
//	root=/dev/vda        the block device, by its path; labels and UUIDs are refused
//	rootfstype=ext4,xfs  the types to try; else all that the kernel knows
//	rootflags=OPTIONS    what the file system itself understands
//	ro, rw               how to mount it; ro unless told otherwise
//	init=PROGRAM         the program on it that becomes process 1; else /sbin/init
//
// Process 1 loads the modules that modules.root lists, waits up to ten seconds
// for the device, mounts it, hands over /dev, /proc and /sys, removes all that is
// in the initramfs, and becomes PROGRAM, with the arguments that the kernel gave
// it: what follows "--", and words before it that the kernel does not know. From
// then on the guest's life is that program's, and so is its end: no exit status
// is reported. What fails before is said on the console and ends the guest, with
// status 2 for a root= that is no path, 127 or 126 for a PROGRAM that is missing
// or cannot be run, and 1 for the rest. Where the root is not in memory, because
// the kernel itself has mounted a disk there, root= is none of our business.
//
// # The console
//
// Process 1 opens it anew when the modules are loaded, for a virtio console's
// driver may be among them: then it is hvc0.
//
// With a person's terminal at the other end, the console is a terminal to the
// payload too: process 1 leads a session whose controlling terminal it is, and
// the payload is a process group in the foreground. Ctrl-C reaches the payload;
// its end does not hang up the console, which would lose its last output.
//
// With a file or a pipe there, the payload's standard input is a pipe, as it
// would be on the host, and the console is raw: lines have any length, bytes
// arrive as they are, and "\n" is not made "\r\n". The byte 0x04, which the
// monitor sends at the end of its input, ends the pipe. It cannot be sent as
// data, so that such input is text; what needs all bytes takes a disk.
//
// Until process 1 has made it raw, the console is a terminal to the kernel,
// which echoes what arrives. A monitor that does not want this waits until the
// guest reads guestport.RegConsole: that is the moment from which input is taken
// as it is.
//
// The environment is what the kernel gives process 1, with what looks like a
// variable on the kernel's command line, such as TERM=xterm; and PATH, HOME,
// USER, LOGNAME and SHELL.
//
// # The archive
//
// It is an uncompressed cpio archive, so that the monitor can map it into the
// guest's memory. The same sources and options make the same bytes: names are
// sorted, times 0, inode numbers the order, owners 0 but in a root directory of
// the user's, and programs are built without paths and build IDs. Modules are
// decompressed when it is built, so that the guest need not, and listed in the
// order of loading; one archive serves several kernels, as each looks in its own
// directory. A minimal archive is process 1 alone, for measuring: it marks, and powers off.
package guestinit
