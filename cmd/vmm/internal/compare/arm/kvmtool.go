package arm

// The guest's console is standard input and output, of which the first is heard if both
// are terminals. kvmtool keeps a socket for each guest in the home directory, and has no
// port that tells of a guest's writes.
func newKvmtool() Arm {
	return monitorArm{
		about: about{"kvmtool", VM, "the monitor that the kernel's developers test KVM with",
			"build it: https://git.kernel.org/pub/scm/linux/kernel/git/will/kvmtool.git; it is no package of Debian's", outerPasses},
		program: "lkvm", version: []string{"version"},
		prepare: func(path string, g guest, dir string) (Prepared, error) {
			return plain{files: g.files(), command: func(id string, argv []string, _ Extras) (*Command, error) {
				// Without any "root=" kvmtool says that the root is on a disk. It has
				// no power-off, and ends by the keyboard controller's reset. Its
				// interrupt controllers are in MP tables only, which not all kernels
				// read, Debian's for clouds for one: with a local APIC that they
				// know nothing of, some of their guests get no interrupt of a timer.
				line, err := guestLine(argv, "root=", "reboot=k", "nolapic")
				if err != nil {
					return nil, err
				}
				return &Command{
					ID: id, Env: []string{"HOME=" + dir}, Marks: NoMarks, Terminal: true,
					Argv: []string{path, "run", "--name", id, "--kernel", g.kernel, "--initrd", g.initrd,
						"--mem", g.mebibytes(), "--cpus", "1", "--console", "serial", "--network", "mode=none", "--params", line},
				}, nil
			}}, nil
		},
	}
}
