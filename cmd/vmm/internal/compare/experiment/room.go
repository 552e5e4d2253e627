package experiment

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"microvm/cmd/internal/size"
	"microvm/cmd/vmm/internal/host"
)

// A room is what a host has left for more instances.
type room struct {
	total  uint64 // bytes of memory
	memory uint64 // bytes that can be had without swapping: MemAvailable, and what the cgroup allows
	pids   int    // that can still be given out
	files  int    // that this process can still open
}

// What is left to the host is never less than this. The memory is a share of all
// of it and an amount, whichever is more: below that a host begins to write out
// what others use.
const (
	floorShare  = 10 // a tenth
	floorMemory = 256 << 20
	floorPIDs   = 512
	floorFiles  = 128
)

// floor is the memory that stays free.
func (r room) floor() uint64 { return max(r.total/floorShare, floorMemory) }

// mayAdd returns why there cannot be one instance more. Of memory it takes one as
// large as the average until now, twice to be safe. Before is the room without any.
func (h *herd) mayAdd(before room) error {
	now, err := readRoom()
	if err != nil {
		return err
	}
	need := h.Env.Memory // until it is known, as much as a guest can take at most
	if n := uint64(len(h.all)); n > 0 {
		need = 2 * (before.memory - min(before.memory, now.memory)) / n
	}
	switch {
	case now.memory < now.floor()+need:
		return fmt.Errorf("the host's memory: %s available, of which %s stay free, and one more may take %s",
			size.Human(now.memory), size.Human(now.floor()), size.Human(need))
	case now.pids < floorPIDs:
		return fmt.Errorf("the host's processes: %d more are possible, of which %d stay free", now.pids, floorPIDs)
	case now.files < floorFiles:
		return fmt.Errorf("the open files of this process: %d more are possible, of which %d stay free (ulimit -n)", now.files, floorFiles)
	}
	return nil
}

// readRoom finds out what the host and this process's cgroup have left.
func readRoom() (room, error) {
	h := host.Read(os.DirFS("/"))
	if h.MemoryAvailable == 0 {
		return room{}, errors.New("/proc/meminfo does not tell how much memory is available")
	}
	r := room{total: h.MemoryTotal, memory: h.MemoryAvailable}
	group := h.Cgroup
	if group.MemoryLimit > 0 && group.MemoryLimit < r.total {
		r.total = group.MemoryLimit
		r.memory = min(r.memory, group.MemoryLimit-min(group.MemoryLimit, group.MemoryUsed))
	}
	var err error
	if r.pids, err = freePIDs(); err != nil {
		return room{}, err
	}
	if group.PIDLimit > 0 {
		r.pids = min(r.pids, int(group.PIDLimit)-int(group.PIDs))
	}
	r.files, err = freeFiles()
	return r, err
}

// freePIDs is how many tasks the host can still have: the kernel's limits of
// numbers and of threads (sysctl/kernel.rst pid_max, threads-max).
func freePIDs() (int, error) {
	most := 0
	for _, name := range []string{"/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if most == 0 || n < most {
			most = n
		}
	}
	// proc_loadavg(5): the fourth field is RUNNABLE/ALL.
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	var loads [3]float64
	var runnable, all int
	if _, err := fmt.Sscanf(string(text), "%g %g %g %d/%d", &loads[0], &loads[1], &loads[2], &runnable, &all); err != nil {
		return 0, fmt.Errorf("/proc/loadavg: %w", err)
	}
	return most - all, nil
}

// freeFiles is how many files this process can still open.
func freeFiles() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	return int(min(limit.Cur, 1<<20)) - len(open), nil
}
