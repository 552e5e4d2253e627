package vmm_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"microvm/devices/guestport"
	"microvm/vmm"
)

// A directory that is made a guest's root has the same in it there as here, by
// the same program's account, and the program's own marks are on the timeline.
func TestRootDirectory(t *testing.T) {
	const mode, dir = "hash", "data"
	g := newGuest(t, "")
	g.Initrd = artifact(t, "root.cpio")
	g.Cmdline += " -- /payload " + mode + " /" + dir
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	for _, stage := range []int{guestport.StageProgram, guestport.StageProgramEnd} {
		if !g.reached(stage) {
			t.Errorf("no mark of stage %d on the timeline", stage)
		}
	}
	root := artifact(t, "root")
	here, err := exec.Command(root+"/payload", mode, root+"/"+dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := payloadSaid.FindAllString(string(here), -1)
	if len(want) == 0 {
		t.Fatalf("the payload says %q", here)
	}
	out := kernelMessage.ReplaceAllString(g.console.text(), "")
	if got := payloadSaid.FindAllString(out, -1); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("in the guest the payload says %q, on the host %q\n%s", got, want, out)
	}
}

// payloadSaid is a line of a payload that is not a mark.
var payloadSaid = regexp.MustCompile(`(?m)^(TEXT|RESULT) .*$`)
