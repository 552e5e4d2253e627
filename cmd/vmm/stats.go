package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"microvm/cmd/internal/size"
	"microvm/devices/guestport"
	"microvm/vmm"
)

// What --stats can be.
const (
	statsTable = "table"
	statsJSON  = "json"
)

// maxAccesses is how many registers the table has; JSON has all.
const maxAccesses = 20

// writeStats writes s in the given format, a table if it is "".
func writeStats(w io.Writer, s vmm.Stats, format string) error {
	if format == statsJSON {
		return writeJSON(w, s)
	}
	_, err := io.WriteString(w, statsText(s))
	return err
}

// writeJSON writes v for a program, and for a person to look at.
func writeJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// statsText is s as tables.
func statsText(s vmm.Stats) string {
	return table("timeline\tafter\texits so far", timelineRows(s)) +
		table("loading\ttook", phaseRows(s)) +
		table("exits\tcount\tshare\thandled in\teach", exitRows(s)) +
		table("kvm's own counts\tcount", kvmRows(s)) +
		table("register\taddress\taccess\texits\tbytes", accessRows(s)) +
		virtioText(s.Virtio) +
		fmt.Sprintf("console: %d bytes in, %d bytes out\n", s.Console.In, s.Console.Out) +
		fmt.Sprintf("machine: %s of RAM, %d processors\n", size.Human(s.GuestRAM), s.CPUs) +
		fmt.Sprintf("kernel and initrd: entry %s, %s mapped, %s copied, decompressed kernel from the cache: %t\n",
			s.Boot.Entry, size.Human(s.Boot.Mapped), size.Human(s.Boot.Copied), s.Boot.CacheHit)
}

func kvmRows(s vmm.Stats) (rows []string) {
	for _, c := range s.KVM {
		rows = append(rows, fmt.Sprintf("%s\t%d", c.Name, c.Count))
	}
	return rows
}

func timelineRows(s vmm.Stats) (rows []string) {
	for _, e := range s.Timeline {
		name := eventName(e)
		if stage, known := stageNames[e.Stage]; known {
			name += ": " + stage
		}
		rows = append(rows, fmt.Sprintf("%s\t%v\t%d", name, e.At.Round(time.Microsecond), e.Exits))
	}
	return rows
}

// stageNames are the stages that our own guest marks.
var stageNames = map[int]string{
	guestport.StageInit:       "init",
	guestport.StageReady:      "system up",
	guestport.StagePayload:    "payload to be started",
	guestport.StagePayloadEnd: "payload ended",
	guestport.StageProgram:    "payload's first instructions",
	guestport.StageProgramEnd: "payload's last instructions",
}

// eventName is the name of an event, with the stage if it is a guest's mark.
func eventName(e vmm.Event) string {
	if e.Name != vmm.EventMark {
		return e.Name
	}
	return fmt.Sprintf("%s %d", e.Name, e.Stage)
}

func phaseRows(s vmm.Stats) (rows []string) {
	for _, p := range s.Boot.Phases {
		rows = append(rows, fmt.Sprintf("%s\t%v", p.Name, p.Took.Round(time.Microsecond)))
	}
	return rows
}

func exitRows(s vmm.Stats) (rows []string) {
	var all uint64
	for _, e := range s.Exits {
		all += e.Count
	}
	for _, e := range s.Exits { // a count is at least 1
		rows = append(rows, fmt.Sprintf("%s\t%d\t%.1f %%\t%v\t%v", e.Reason, e.Count, 100*float64(e.Count)/float64(all),
			e.Handled.Round(time.Microsecond), e.Handled/time.Duration(e.Count)))
	}
	return append(rows, fmt.Sprintf("all\t%d", all))
}

func accessRows(s vmm.Stats) (rows []string) {
	for i, a := range s.Accesses {
		if i == maxAccesses {
			return append(rows, fmt.Sprintf("%d more", len(s.Accesses)-i))
		}
		access := "read"
		if a.Write {
			access = "write"
		}
		rows = append(rows, fmt.Sprintf("%s+%#x\t%s %#x\t%s\t%d\t%d", a.Device, a.Offset, a.Space, a.Addr, access, a.Count, a.Bytes))
	}
	return rows
}

// table aligns rows, whose cells end with tabs, under a head, and ends with an
// empty line.
func table(head string, rows []string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		fmt.Fprintln(w, r)
	}
	w.Flush() // to memory, which takes everything
	return b.String() + "\n"
}
