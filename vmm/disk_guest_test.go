package vmm_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/vmm"
	"microvm/vmm/disk"
)

const guestDiskSize = 16 * vmm.MiB

// guestDisk makes an empty disk on the host.
func guestDisk(t *testing.T, name string) vmm.Disk {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, guestDiskSize); err != nil {
		t.Fatal(err)
	}
	return vmm.Disk{Options: disk.Options{Path: path, Cache: disk.CacheWriteback, Engine: disk.EngineAuto}}
}

// pattern is what block n of 4 KiB is written with.
func pattern(n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "block %9d\n", n), 256)
}

// Linux finds disks with their properties, and what it writes, from all processors
// at once, is on the host.
func TestDisks(t *testing.T) {
	if inGuest() {
		for attribute, want := range map[string]string{
			"vda/size": "32768", "vda/ro": "0", "vda/serial": "first", "vda/queue/logical_block_size": "512",
			"vda/queue/physical_block_size": "4096", "vda/queue/minimum_io_size": "4096", "vda/queue/write_cache": "write back",
			"vda/queue/discard_granularity": "4096", "vda/queue/discard_max_hw_bytes": strconv.Itoa(2 * vmm.GiB),
			"vda/queue/write_zeroes_max_bytes": strconv.Itoa(64 * vmm.MiB), "vda/queue/max_segments": "254",
			"vdb/ro": "1", "vdb/serial": "disk1", "vdc/queue/write_cache": "write through",
		} {
			if got, err := os.ReadFile("/sys/block/" + attribute); err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s is %q, %v; want %q", attribute, got, err, want)
			}
		}
		if queues, err := os.ReadDir("/sys/block/vda/mq"); err != nil || len(queues) != 2 {
			t.Errorf("%d queues, %v", len(queues), err)
		}
		writeDisk(t, "/dev/vda")
		if err := writeBlock("/dev/vdb", 0); !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			t.Errorf("a write to a read-only disk: %v", err)
		}
		return
	}
	g := newGuestHalf(t)
	first, second, third := guestDisk(t, "first"), guestDisk(t, "second"), guestDisk(t, "third")
	first.ID, second.ReadOnly, third.Cache = "first", true, disk.CacheWritethrough
	g.CPUs, g.Disks = 2, []vmm.Disk{first, second, third}
	g.run(t).wants(t, vmm.EndPoweredOff, 0)

	got, err := os.ReadFile(first.Path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(got) / 4096 {
		want := pattern(n)
		if n < len(got)/4096/2 { // discarded
			want = make([]byte, 4096)
		}
		if !bytes.Equal(got[n*4096:][:4096], want) {
			t.Fatalf("block %d on the host is %q", n, got[n*4096:][:32])
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(first.Path, &st); err != nil || st.Blocks*512 > guestDiskSize*5/8 {
		t.Errorf("after a discard of half of it the file takes %d bytes, %v", st.Blocks*512, err)
	}
	for _, s := range g.stats.Virtio {
		for i, q := range s.Queues {
			if s.Name == "disk0" && q.Chains == 0 {
				t.Errorf("queue %d of %s was not used", i, s.Name)
			}
		}
	}
}

// writeDisk fills a disk, reads it back, and gives the first half of it away.
func writeDisk(t *testing.T, name string) {
	var workers sync.WaitGroup
	const n = 8
	for w := range n {
		workers.Go(func() {
			for _, block := range rand.Perm(guestDiskSize / 4096 / n) {
				if err := writeBlock(name, block*n+w); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := unix.Mmap(-1, 0, guestDiskSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(all, 0); err != nil {
		t.Fatal(err)
	}
	for block := range guestDiskSize / 4096 {
		if !bytes.Equal(all[block*4096:][:4096], pattern(block)) {
			t.Fatalf("block %d reads %q", block, all[block*4096:][:32])
		}
	}
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if err := blkdiscard(f, 0, guestDiskSize/2); err != nil {
		t.Error(err)
	}
}

// writeBlock writes a block's pattern around the page cache.
func writeBlock(name string, block int) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	memory, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(memory)
	copy(memory, pattern(block))
	_, err = f.WriteAt(memory, int64(block)*4096)
	return err
}

// The driver goes and comes again while the disk is used, and nothing is lost but
// the requests that it had.
func TestDiskDriverReloads(t *testing.T) {
	const times = 50
	if inGuest() {
		device, err := filepath.EvalSymlinks("/sys/block/vda/device")
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var load sync.WaitGroup
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					if writeBlock("/dev/vda", n%100) != nil { // there is no disk just now
						time.Sleep(time.Millisecond)
					}
				}
			}
		})
		for i := range times {
			for _, step := range []string{"unbind", "bind"} {
				if err := os.WriteFile("/sys/bus/virtio/drivers/virtio_blk/"+step, []byte(filepath.Base(device)), 0); err != nil {
					t.Fatalf("%s %d: %v", step, i, err)
				}
			}
		}
		close(stop)
		load.Wait()
		if err := writeBlock("/dev/vda", 7); err != nil {
			t.Error(err)
		}
		return
	}
	g := newGuestHalf(t)
	g.CPUs, g.Disks = 2, []vmm.Disk{guestDisk(t, "disk")}
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	if s := g.stats.Virtio[0]; s.Sessions != times+1 || s.Errors != 0 {
		t.Errorf("%d sessions, %d rules broken: %s", s.Sessions, s.Errors, s.Error)
	}
}
