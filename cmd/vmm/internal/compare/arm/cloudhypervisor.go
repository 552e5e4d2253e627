package arm

import "fmt"

// Cloud Hypervisor takes kernels with a PVH entry. Its debug console is a
// port as QEMU's (docs/debug-port.md there, from version 38 on).
func newCloudHypervisor() Arm {
	return monitorArm{
		about: about{"cloud-hypervisor", VM, "a monitor for cloud guests, in Rust",
			"put a release of https://github.com/cloud-hypervisor/cloud-hypervisor into PATH; it is no package of Debian's", guestPasses},
		program: "cloud-hypervisor", version: []string{"--version"},
		prepare: func(path string, g guest, dir string) (Prepared, error) {
			var err error
			if g.kernel, err = writeELF(g.kernel, dir); err != nil {
				return nil, err
			}
			return plain{files: g.files(), command: func(id string, argv []string, _ Extras) (*Command, error) {
				line, err := guestLine(argv, "guestport="+markPort)
				if err != nil {
					return nil, err
				}
				return &Command{ID: id, Marks: ByteMarks, Argv: []string{path, "--kernel", g.kernel, "--initramfs", g.initrd,
					"--cmdline", line, "--cpus", "boot=1", "--memory", fmt.Sprintf("size=%d", g.memory),
					"--console", "off", "--serial", "tty", "--debug-console", "file=/dev/fd/3,iobase=" + markPort}}, nil
			}}, nil
		},
	}
}
