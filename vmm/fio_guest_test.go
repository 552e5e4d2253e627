package vmm_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// Each block that fio has written it reads again as it was: of random sizes, at
// several depths, by processes on all processors, through each engine and each
// kind of rings.
func TestVerify(t *testing.T) {
	const region = 4 * vmm.MiB // of each of fio's jobs
	jobs := []struct {
		engine string // fio's
		depth  int
	}{{"psync", 1}, {"libaio", 1}, {"libaio", 4}, {"libaio", 32}}
	engines := []disk.EngineKind{disk.EngineRing, disk.EnginePool}
	for _, packed := range []bool{false, true} {
		t.Run(fmt.Sprintf("packed=%t", packed), func(t *testing.T) {
			if inGuest() {
				mountDebian(t)
				args := []string{"--output-format=json", "--direct=1", "--rw=randwrite", "--bsrange=512-128k",
					"--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", fmt.Sprint("--size=", region)}
				for i := range engines {
					for k, j := range jobs {
						args = append(args, fmt.Sprintf("--name=%s-%d", j.engine, j.depth), "--filename="+device(1+i), fmt.Sprint("--offset=", k*region),
							"--ioengine="+j.engine, fmt.Sprint("--iodepth=", j.depth))
					}
				}
				checkVerified(t, debian(t, "fio", args...), len(engines)*len(jobs), region)
				return
			}
			g := newGuestHalf(t).withDebian(t)
			g.CPUs, g.PackedRings = 4, packed
			for _, e := range engines {
				g.addDisk(t, int64(len(jobs)*region), disk.Options{Engine: e})
			}
			g.run(t).wants(t, vmm.EndPoweredOff, 0)
			for i, e := range engines {
				d := g.stats.Virtio[1+i]
				for queue, n := range d.Queues {
					if n.Chains == 0 {
						t.Errorf("%s: queue %d was not used", d.Name, queue)
					}
				}
				if used := describe(d, "engine"); used != string(e) || len(d.Queues) != g.CPUs {
					t.Errorf("%s: engine %v, want %s; %d queues, want %d", d.Name, used, e, len(d.Queues), g.CPUs)
				}
			}
		})
	}
}

// checkVerified checks from fio's report that all jobs have written their whole
// region and have read it again without an error.
func checkVerified(t *testing.T, report string, jobs int, region int64) {
	t.Helper()
	type direction struct {
		Bytes int64 `json:"io_bytes"`
	}
	var r struct {
		Jobs []struct {
			Name  string `json:"jobname"`
			Error int
			Read  direction
			Write direction
		}
	}
	if err := json.Unmarshal([]byte(report), &r); err != nil {
		t.Fatalf("%v in fio's report\n%s", err, report)
	}
	if len(r.Jobs) != jobs {
		t.Errorf("%d jobs in the report, want %d", len(r.Jobs), jobs)
	}
	for _, j := range r.Jobs {
		if j.Error != 0 || j.Write.Bytes != region || j.Read.Bytes != region {
			t.Errorf("%s: error %d, %d bytes written and %d read of %d", j.Name, j.Error, j.Write.Bytes, j.Read.Bytes, region)
		}
	}
}
