package main

import (
	"fmt"
	"strings"

	"microvm/devices/virtio"
)

// virtioText is what the virtio devices did, as tables.
func virtioText(devices []virtio.Stats) string {
	if len(devices) == 0 {
		return ""
	}
	var rows, notes []string
	for _, d := range devices {
		for i, q := range d.Queues {
			rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d", d.Name, i, q.Chains, q.Wakeups, q.Interrupts, q.Suppressed))
		}
		notes = append(notes, virtioNotes(d)...)
	}
	return table("virtio device\tqueue\tchains\twakeups\tinterrupts\tnot wanted", rows) +
		table("virtio device\tproperty\t", notes)
}

// virtioNotes is what there is to say of a device besides its queues.
func virtioNotes(d virtio.Stats) (rows []string) {
	note := func(name string, value any) { rows = append(rows, fmt.Sprintf("%s\t%s\t%v", d.Name, name, value)) }
	note("status", strings.ToLower(d.Status))
	note("features", d.Accepted)
	if d.Refused != "" {
		note("features refused", d.Refused)
	}
	if d.Errors > 0 {
		note("rules broken by the guest", fmt.Sprintf("%d; the last: %s", d.Errors, d.Error))
	}
	for _, p := range d.Device {
		note(p.Name, p.Value)
	}
	return rows
}
