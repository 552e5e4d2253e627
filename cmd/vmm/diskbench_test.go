package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microvm/guestinit/modules"
)

// diskTurns is how many turns each arm has for each workload.
const diskTurns = 4

// diskWorkloads are what a disk is measured with: pattern, block size, depth.
var diskWorkloads = []string{
	"randread:4k:1", "randwrite:4k:1", "randread:4k:32", "randwrite:4k:32", "read:1m:1", "write:1m:1",
}

// testDiskSize is the size of the disk under test in bytes: that of all arms
// stays in the emulated host's memory. The script knows it.
const testDiskSize = 128 << 20

// BenchmarkDisk compares disks with QEMU's: a file of ext4 through the page cache,
// with each way of I/O that QEMU has for it, and a block device past it.
func BenchmarkDisk(b *testing.B) {
	const arms = 4
	devices := ramDisks(b, 1+arms)
	images := imagesOn(b, devices[0], arms-1)
	qemuDisk := func(path, aio, cache string) guestArm {
		return qemuWith(b, "qemu aio="+aio,
			"-drive", "if=none,id=test,format=raw,discard=unmap,file="+path+",aio="+aio+",cache="+cache, "-device", "virtio-blk-device,drive=test,serial=test")
	}
	b.Run("file", func(b *testing.B) {
		for range b.N {
			compareInTurns(b, diskTurns, diskWorkloads, []guestArm{
				oursWith(b, "vmm", "--disk", "path="+images[0]+",id=test"),
				qemuDisk(images[1], "io_uring", "writeback"), qemuDisk(images[2], "threads", "writeback"),
			}, "disk.sh")
		}
	})
	b.Run("device", func(b *testing.B) {
		for _, device := range devices[1:] {
			fill(b, device)
		}
		for range b.N {
			compareInTurns(b, diskTurns, diskWorkloads, []guestArm{
				oursWith(b, "vmm", "--disk", "path="+devices[1]+",id=test,cache=none"),
				qemuDisk(devices[2], "io_uring", "none"), qemuDisk(devices[3], "native", "none"), qemuDisk(devices[4], "threads", "none"),
			}, "disk.sh")
		}
	})
}

// imagesOn makes an ext4 file system on a device, and returns the paths of n images
// there.
func imagesOn(b *testing.B, device string, n int) (images []string) {
	b.Helper()
	dir := b.TempDir()
	for _, command := range [][]string{{"mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", device}, {"mount", device, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	b.Cleanup(func() { _ = exec.Command("umount", dir).Run() }) // it goes with the emulated host
	for i := range n {
		image := filepath.Join(dir, fmt.Sprintf("disk%d.img", i))
		fill(b, image)
		images = append(images, image)
	}
	return images
}

// fill fills a new file, or the begin of a device, with random bytes.
func fill(b *testing.B, path string) {
	b.Helper()
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	if err := os.WriteFile(path, bytes.Repeat(data, testDiskSize>>20), 0o600); err != nil {
		b.Fatal(err)
	}
}

// ramDisks makes n block devices of the kernel's ramdisk driver, and returns
// their paths. It loads ext4 as well, for what is put on them: an emulated host finds
// no module by itself.
func ramDisks(b *testing.B, n int) (devices []string) {
	b.Helper()
	index, err := modules.Open(benchArtifact(b, "build/kernels/generic/modules"))
	if err != nil {
		b.Fatal(err)
	}
	order, err := index.Resolve("crc32c_generic", "ext4", "brd") // the first for the checksums of the second
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range order {
		insmod := exec.Command("insmod", filepath.Join(index.Dir, m.File))
		if m.Name == "brd" { // whose disks have a size and take what is written
			insmod.Args = append(insmod.Args, fmt.Sprintf("rd_nr=%d", n), fmt.Sprintf("rd_size=%d", n*testDiskSize>>10))
		}
		if out, err := insmod.CombinedOutput(); err != nil && !strings.Contains(string(out), "File exists") {
			b.Fatalf("%v: %v\n%s", insmod.Args, err, out)
		}
	}
	b.Cleanup(func() { _ = exec.Command("rmmod", "brd").Run() }) // it goes with the emulated host
	for i := range n {
		devices = append(devices, fmt.Sprintf("/dev/ram%d", i))
	}
	return devices
}
