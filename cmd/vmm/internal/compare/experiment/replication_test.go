package experiment

import (
	"os"
	"testing"
)

// TestReplication: processes of one program share its text, which is there once.
func TestReplication(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: ", errNoFrames)
	}
	var n notebook
	const instances = replicationInstances
	s := n.session(t, brief(1, 1))
	s.Effort.Patience = patience
	addNative(t, s)
	if err := Replication.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	at := func(metric string) float64 { return n.only(t, "native", metric, instances).Value }
	if at(ReplicationMapped) < at(ReplicationFrames)+(instances-1)*at(ReplicationShared) {
		t.Errorf("mapped %g, frames %g, shared %g by %d", at(ReplicationMapped), at(ReplicationFrames), at(ReplicationShared), instances)
	}
	if once := at(ReplicationRootOnce); once < 100<<10 || at(ReplicationRoot) > 1.1*once {
		t.Errorf("%g bytes of the payload are in memory, %g of them different, want each about once", at(ReplicationRoot), once)
	}
	if equal := at(ReplicationEqual); equal == 0 || equal > at(ReplicationFrames)-at(ReplicationShared) {
		t.Errorf("%g bytes are equal and not shared", equal)
	}
	noneLeft(t)
}

// TestWork: the real payload, as a process.
func TestWork(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 1))
	s.Effort.Patience = patience
	addNative(t, s)
	if err := Work.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{WorkCPU, WorkMemoryAccess, WorkMemoryCopy} {
		got := n.of("native", m)
		if len(got) != turnsPerRound {
			t.Errorf("%s has %d values, want %d", m, len(got), turnsPerRound)
		}
		for _, s := range got {
			if s.Value < 1e5 {
				t.Errorf("%+v", s)
			}
		}
	}
}
