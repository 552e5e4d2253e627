package vmm

import (
	"errors"
	"fmt"
	"os"

	"microvm/devices/virtio/block"
	"microvm/vmm/disk"
)

// A Disk is a virtio block device with the image that it is kept in.
type Disk struct {
	// ID is the disk's serial number, which no other has: printable ASCII,
	// at most block.MaxID bytes; "" stands for disk0, disk1 and so on, by its
	// place among the disks.
	ID string
	disk.Options
}

// checkDisks reports what is wrong with the disks.
func (c *Config) checkDisks(wrong func(field, format string, args ...any)) {
	places := make(map[string]int)
	for i, d := range c.Disks {
		id := d.id(i)
		if err := d.Check(); err != nil {
			wrong("disk", "%s: %v", d.Path, err)
		}
		switch first, taken := places[id]; {
		case d.Path == "":
			wrong("disk", "disk %d of %d has no path", i+1, len(c.Disks))
		case len(id) > block.MaxID:
			wrong("disk", "%s: id %q has %d bytes; must have at most %d", d.Path, id, len(id), block.MaxID)
		case !printable(id):
			wrong("disk", "%s: id %q; must be letters, digits and signs of ASCII", d.Path, id)
		case taken:
			wrong("disk", "%s and %s have the same id %q", c.Disks[first].Path, d.Path, id)
		default:
			places[id] = i
		}
	}
}

// id is the ID of the disk at a place in the configuration.
func (d *Disk) id(place int) string {
	if d.ID == "" {
		return diskName(place)
	}
	return d.ID
}

// onlyRead reports whether the file at the disk's path is not written.
func (d *Disk) onlyRead() bool { return d.ReadOnly || d.Overlay }

func diskName(place int) string { return fmt.Sprintf("disk%d", place) }

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// addDisks opens the disks and puts a device for each on the board. All that
// cannot be opened are in the error.
func (m *Machine) addDisks() error {
	errs := []error{m.config.sharedDisks()}
	if errs[0] != nil {
		return errs[0]
	}
	for i := range m.config.Disks {
		d := &m.config.Disks[i]
		image, err := disk.Open(d.Options)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		// A queue a vCPU, so that none waits for another.
		dev, err := block.New(image, d.id(i), min(m.config.CPUs, block.MaxQueues))
		if err != nil {
			return errors.Join(err, image.Close())
		}
		if err := m.addVirtio(diskName(i), dev); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// sharedDisks reports which file is more than one disk, one of them writable.
// The lock of the first would keep the second out too, but not say so.
func (c *Config) sharedDisks() error {
	var infos []os.FileInfo
	for i, d := range c.Disks {
		info, err := os.Stat(d.Path)
		if err != nil {
			info = nil // to open it fails too
		}
		for j, other := range infos {
			if info != nil && other != nil && os.SameFile(info, other) && !(d.onlyRead() && c.Disks[j].onlyRead()) {
				return fmt.Errorf("disk %s: is disk %d and disk %d of this machine; it can be both only with the option ro for each", d.Path, j, i)
			}
		}
		infos = append(infos, info)
	}
	return nil
}
