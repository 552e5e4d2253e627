// Package guestinit is the guest's own system: process 1, a shell, and the
// initramfs that carries them with u-root's commands.
//
//	guestinit/init       process 1, and the commands that ask it to end
//	guestinit/sh         the shell
//	guestinit/initramfs  builds the archive, on the host
//	guestinit/modules    which kernel modules need which, on the host
//	guestinit/kernel     brings Debian's kernels
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
//	  ├─ console                    raw; ask the monitor what is at its other end
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
// # The console
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
// sorted, times and owners 0, inode numbers the order, and programs are built
// without paths and build IDs. Modules are decompressed when it is built, so
// that the guest need not, and listed in the order of loading; one archive
// serves several kernels, as each looks in its own directory. A minimal archive
// is process 1 alone, for measuring: it marks, and powers off.
package guestinit
