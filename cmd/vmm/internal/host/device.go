package host

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Device is /dev/kvm: who may use it, and whether this process may.
type Device struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
	Mode   string `json:"mode,omitempty"` // as ls -l shows it
	Owner  string `json:"owner,omitempty"`
	Group  string `json:"group,omitempty"`
	Usable bool   `json:"usable"` // this process may read and write it
	// Problem is why it is not usable, with Fix to mend it, "" if nothing
	// simple does.
	Problem string `json:"problem,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

// ReadDevice looks at the device file at path. cpu says what to try if it is
// not there.
func ReadDevice(path string, cpu CPU) *Device {
	d := &Device{Path: path}
	info, err := os.Stat(path)
	if err != nil {
		d.Problem, d.Fix = missing(path, cpu)
		return d
	}
	d.Exists = true
	d.Mode = strings.TrimPrefix(info.Mode().String(), "D") // Go's letter for a device, which ls leaves out
	if info.Mode().Type() != fs.ModeDevice|fs.ModeCharDevice {
		d.Problem = path + " is not a character device"
		return d
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err == nil {
		d.Owner, d.Group = userName(st.Uid), groupName(st.Gid)
	}
	err = unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK|unix.W_OK, unix.AT_EACCESS)
	d.Usable = err == nil
	if err != nil {
		d.Problem = fmt.Sprintf("this user may not use %s: %v", path, err)
		d.Fix = permit(info.Mode(), d.Group, st.Gid)
	}
	return d
}

// permit is the command that lets this user use a device of the given group.
func permit(mode fs.FileMode, group string, gid uint32) string {
	const groupMay = 0o060
	if mode&groupMay == groupMay && gid != 0 {
		return "sudo usermod -aG " + group + " $USER    # then log in again"
	}
	return "sudo setfacl -m u:$USER:rw /dev/kvm"
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return id
	}
	return u.Username
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	g, err := user.LookupGroupId(id)
	if err != nil {
		return id
	}
	return g.Name
}

// missing says why there is no device, as far as the processor tells.
func missing(path string, cpu CPU) (problem, fix string) {
	problem = path + " does not exist: "
	switch {
	case cpu.Virtualization == "VMX":
		return problem + "KVM's module is not loaded", "sudo modprobe kvm_intel"
	case cpu.Virtualization == "SVM":
		return problem + "KVM's module is not loaded", "sudo modprobe kvm_amd"
	case cpu.Hypervisor:
		return problem + "this host is a virtual machine whose own host does not let it run others (nested virtualization)", ""
	}
	return problem + "the processor's virtualization (VMX or SVM) is missing, or switched off in the firmware's settings", ""
}
