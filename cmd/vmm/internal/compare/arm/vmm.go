package arm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"microvm/cmd/vmm/internal/compare"
)

// A vmmArm is our own monitor.
type vmmArm struct{ about }

func newVMM() Arm {
	return vmmArm{about{
		name: "vmm", kind: VM, summary: "this program's virtual machine", install: "it is this program", passes: compare.Boundaries,
	}}
}

func (vmmArm) Probe(ctx context.Context, e *Env) (string, error) {
	v, err := versionOf(ctx, e.VMM, "version")
	if err != nil {
		return "", err
	}
	return v, needGuest(e)
}

// Prepare has a cache of kernels of its own, which the first start fills.
func (vmmArm) Prepare(_ context.Context, e *Env, root, dir string) (Prepared, error) {
	g, err := newGuest(e, root, dir)
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(dir, "cache")
	boot := []string{e.VMM, "boot", "--kernel", g.kernel, "--memory", fmt.Sprint(g.memory),
		"--cache-dir", cache, "--append", "quiet", "--trace", "events", "--trace-file", "/dev/fd/3"}
	return plain{files: append(g.files(), cache), access: vmmAccess, command: func(id string, argv []string, x Extras) (*Command, error) {
		c := with(boot, "--initrd", g.initramfs(x))
		if x.Network {
			c = append(c, "--net", vmmNetwork())
		}
		if x.File != "" {
			c = append(c, "--disk", "path="+x.File+",ro")
		}
		return &Command{ID: id, Argv: append(append(c, "--"), argv...), Marks: EventMarks}, nil
	}}, nil
}

// The addresses of a tap interface and of the guest's end of it, of a block that is
// for measurements (RFC 2544 appendix C.2.2).
const (
	tapHost    = "198.18.77.1"
	tapGuest   = "198.18.77.2"
	tapNetwork = "/30"
)

// userHost is the host's address in a network inside a monitor, ours or QEMU's.
const (
	userHost  = "10.0.2.2"
	userGuest = "10.0.2.15/24"
)

// vmmNetwork is a tap interface if this user may make one.
func vmmNetwork() string {
	if os.Geteuid() == 0 {
		return "tap,host=" + tapHost + tapNetwork
	}
	return "user,host=on"
}

func vmmAccess(Extras) (Access, error) {
	a := Access{Network: "user", Host: userHost, Listen: loopback, Address: userGuest}
	if os.Geteuid() == 0 {
		a = Access{Network: "tap", Host: tapHost, Listen: tapHost, Address: tapGuest + tapNetwork}
	}
	a.File, a.FileAs = guestDisk, "virtio-blk"
	return a, nil
}

// guestDisk is a guest's only disk.
const guestDisk = "/dev/vda"
