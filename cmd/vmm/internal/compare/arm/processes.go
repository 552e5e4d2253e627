package arm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// idVariable is in the environment of an instance's processes, and has its ID.
const idVariable = "VMM_COMPARE_INSTANCE"

// noSession is no session's number.
const noSession = -1

// A process is what /proc says of one.
type process struct {
	pid, parent, session int
	named                bool // it bears one of the words looked for
}

// processes returns the processes of an instance, in no order: those of the
// session that first has opened, those that bear one of words in environment,
// command line or cgroup, and the descendants of all these. One that is dead and
// not yet waited for is none.
func processes(first int, words []string) []int {
	all := make(map[int]process)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // a host without /proc has no containers either
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, alive := readProcess(pid, words); alive {
			all[pid] = p
		}
	}
	var found []int
	for pid := range all {
		// A chain of parents is shorter than the number of processes, even if the
		// table was read while it changed.
		for p, n := all[pid], 0; p.pid != 0 && n < len(all); p, n = all[p.parent], n+1 {
			if p.session == first || p.named {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// readProcess reads what there is of a process that may end any time.
func readProcess(pid int, words []string) (p process, alive bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	// proc(5): "pid (comm) state ppid pgrp session …"; comm may contain anything.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if err != nil || len(fields) < 4 || bytes.ContainsAny(fields[0], "ZX") {
		return process{}, false
	}
	p.pid = pid
	p.parent, _ = strconv.Atoi(string(fields[1]))
	p.session, _ = strconv.Atoi(string(fields[3]))
	for _, file := range []string{"cmdline", "cgroup", "environ"} {
		// Those of another user's processes cannot be read.
		text, _ := os.ReadFile(filepath.Join(dir, file))
		p.named = p.named || slices.ContainsFunc(words, func(w string) bool { return hasWord(text, w) })
	}
	return p, true
}

// hasWord reports whether word is in text and not only the beginning of a longer
// one, as "crun-1" is of "crun-12".
func hasWord(text []byte, word string) bool {
	for rest := text; ; {
		_, after, found := bytes.Cut(rest, []byte(word))
		if !found {
			return false
		}
		if next, _ := utf8.DecodeRune(after); !unicode.IsLetter(next) && !unicode.IsDigit(next) {
			return true
		}
		rest = after
	}
}

// How long and how often kill tries: a process that has just begun a child may
// need a second round, and one that is in the middle of disk I/O a while.
const (
	killRounds = 100
	killTime   = 10 * time.Second
)

// kill kills the processes that find returns, until it returns none.
func kill(find func() []int) error {
	deadline := time.Now().Add(killTime)
	for range killRounds {
		handles := open(find())
		// What is there still after it was opened is what was opened, not
		// another one with its number.
		still := find()
		for pid, h := range handles {
			if !slices.Contains(still, pid) || unix.PidfdSendSignal(h, unix.SIGKILL, nil, 0) != nil {
				delete(handles, pid)
				unix.Close(h)
			}
		}
		await(handles, time.Until(deadline))
		if len(still) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			break
		}
	}
	return fmt.Errorf("processes %v of it are still there", find())
}

// open returns a descriptor (pidfd_open(2)) of each process that is still there.
func open(pids []int) map[int]int {
	handles := make(map[int]int)
	for _, pid := range pids {
		if h, err := unix.PidfdOpen(pid, 0); err == nil {
			handles[pid] = h
		}
	}
	return handles
}

// await closes handles when all of their processes have ended, or after so long.
func await(handles map[int]int, limit time.Duration) {
	deadline := time.Now().Add(limit)
	for _, h := range handles {
		ready := []unix.PollFd{{Fd: int32(h), Events: unix.POLLIN}}
		for {
			left := max(0, time.Until(deadline))
			if _, err := unix.Poll(ready, int(left.Milliseconds())); err != unix.EINTR {
				break
			}
		}
		unix.Close(h)
	}
}
