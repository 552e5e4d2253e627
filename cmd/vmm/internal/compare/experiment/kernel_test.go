package experiment

import (
	"strings"
	"testing"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// A modal is a fake whose script has the payload's arguments.
type modal struct{ armtest.Fake }

func (m modal) Command(id string, argv []string) (*arm.Command, error) {
	c, err := m.Fake.Command(id, argv)
	c.Argv = append(c.Argv, argv...)
	return c, err
}

// TestKernel: arms on one kernel and on another, and one whose payload fails.
func TestKernel(t *testing.T) {
	var n notebook
	on := func(version string) string {
		return armtest.Begin + "echo TEXT release 6.1; echo TEXT version '" + version + "'; echo RESULT pid 1 7; case $* in *hold*) echo TEXT waits input; cat;; esac; " + armtest.End
	}
	s := n.session(t, brief(1, 1),
		armtest.Fake{Named: "a", Script: on("#1 one")},
		armtest.Fake{Named: "b", Script: on("#1 one")},
		armtest.Fake{Named: "guest", Script: on("#2 two"), Is: arm.VM},
		armtest.Fake{Named: "failing", Script: "exit 3"})
	for i, a := range s.Arms {
		s.Arms[i].Prepared = modal{a.Prepared.(armtest.Fake)}
	}
	if err := Kernel.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := n.only(t, "guest", KernelVersion, 0); got.Text != "#2 two" {
		t.Errorf("the guest's kernel is %q", got.Text)
	}
	if got := n.only(t, "a", KernelPID, 0); got.Value != 7 {
		t.Errorf("the payload's number is %g", got.Value)
	}
	if got := n.of("failing", KernelRelease); len(got) != 1 || !strings.Contains(got[0].Failed, "exit status 3") {
		t.Errorf("an arm that fails has %+v", got)
	}
	all := n.of(KernelArms, KernelsAtOnce)
	if len(all) != 2 || all[0].Text != "6.1 #1 one; 6.1 #2 two" || all[1].Value != 2 || all[1].Instances != 3 {
		t.Errorf("at once there are %+v, want two kernels under three payloads", all)
	}
	noneLeft(t)
}
