package guestinit

// Init is the path of process 1 in the initramfs, where the kernel looks for it.
const Init = "/init"

// Commands are the names under which process 1's program is a command of its
// own.
var Commands = []string{"halt", "nproc", "poweroff", "reboot", "shutdown"}

// LoadList is the name of the file in a kernel's module directory that lists
// the modules to load: a path relative to that directory on each line, every
// module after those that it needs.
const LoadList = "modules.load"

// RootList is the name of another such file: the modules to load where the root
// is to be a disk's file system.
const RootList = "modules.root"

// ModulesDir returns the directory of the modules of the kernel with this
// release, as uname -r prints it.
func ModulesDir(release string) string { return "/lib/modules/" + release }
