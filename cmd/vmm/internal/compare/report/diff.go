package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/measure"
)

// Diff compares the runs in directories a and b, value by value, and writes it to
// w. What does not have the same boundaries is not compared. What comes from
// different hosts is, and marked: it says as much about the hosts.
func Diff(w io.Writer, a, b string) error {
	before, err := read(a)
	if err != nil {
		return err
	}
	after, err := read(b)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, line := range differences(before, after) {
		fmt.Fprintf(&out, "%s\n", wrap(line, ""))
	}
	for _, name := range before.run.Experiments {
		t := compareExperiment(name, before, after)
		fmt.Fprintln(&out)
		t.write(&out)
	}
	_, err = out.WriteTo(w)
	return err
}

// differences says how the runs were made and what was not the same.
func differences(a, b *evidence) []string {
	lines := []string{fmt.Sprintf("A is %s of %s, B is %s of %s.", a.dir, day(a.run.Started), b.dir, day(b.run.Started))}
	if a.run.Digest != b.run.Digest {
		lines = append(lines, fmt.Sprintf("† The hosts differ (%s, %s): a ratio says as much about them as about anything else.",
			describe(a.run), describe(b.run)))
	}
	hashes := make(map[string]string)
	for _, i := range a.run.Inputs {
		hashes[i.Name] = i.SHA256
	}
	for _, i := range b.run.Inputs {
		if hash, ok := hashes[i.Name]; ok && hash != i.SHA256 {
			lines = append(lines, fmt.Sprintf("Input %q is not the same file.", i.Name))
		}
	}
	versions := make(map[string]string)
	for _, arm := range a.run.Arms {
		versions[arm.Name] = arm.Version
	}
	for _, arm := range b.run.Arms {
		if version, ok := versions[arm.Name]; ok && version != arm.Version {
			lines = append(lines, fmt.Sprintf("%s is version %q in A and %q in B.", arm.Name, version, arm.Version))
		}
	}
	return append(lines, "The effect is Cliff's delta: 1 if all values of B are larger, -1 if all are smaller. A * marks a median that has changed: the interval of the ratio does not hold 1; of too few samples there is none.")
}

func describe(r *session.Run) string {
	return fmt.Sprintf("%s, Linux %s, %s", r.Host.CPU.Model, r.Host.Kernel, r.Host.Reality())
}

// compareExperiment returns the table of an experiment's values.
func compareExperiment(name string, a, b *evidence) table {
	t := table{Caption: name, Head: []string{"arm", "value", "A", "B", "B/A", "95 % interval", "effect", "changed"}, Words: 2}
	of := func(e *evidence) []*group { return e.where(ofExperiment(name)) }
	if len(of(a)) == 0 || len(of(b)) == 0 {
		t.note("not measured in both runs")
		return t
	}
	matched := make(map[compare.Key]bool)
	for _, g := range of(a) {
		other, err := counterpart(g, of(b))
		if err != nil {
			t.note(fmt.Sprintf("not compared: %s, %s: %v", g.label(), g.what(), err))
			continue
		}
		matched[other.Key] = true
		t.Rows = append(t.Rows, compareGroups(g, other))
	}
	for _, g := range of(b) {
		if !matched[g.Key] {
			if _, err := counterpart(g, of(a)); err != nil {
				t.note(fmt.Sprintf("not compared: %s, %s: only in B", g.label(), g.what()))
			}
		}
	}
	return t
}

// what says what the values are, but for the arm.
func (g *group) what() string {
	if g.Instances > 0 {
		return fmt.Sprintf("%s, instances: %d", g.measurement(), g.Instances)
	}
	return g.measurement().String()
}

// counterpart returns the values of the other run that may be compared with g, or
// why there are none.
func counterpart(g *group, others []*group) (*group, error) {
	var reason error
	for _, o := range others {
		if o.Arm != g.Arm || o.Metric != g.Metric || o.Instances != g.Instances || o.Cache != g.Cache {
			continue
		}
		key := o.Key
		key.Host = g.Host // differs between runs, and is marked
		err := compare.Comparable(g.Key, key)
		if err == nil {
			return o, nil
		}
		reason = fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if reason == nil {
		reason = fmt.Errorf("only in A")
	}
	return nil, reason
}

// compareGroups is a row.
func compareGroups(a, b *group) []string {
	row := []string{a.label(), a.what(), a.short(), b.short(), "—", "—", "", ""}
	if a.Host != b.Host {
		row[0] += " †"
	}
	effect := measure.EffectOf(b.values, a.values)
	row[6] = fmt.Sprintf("%s (%+.2f)", effect, float64(effect))
	r, err := ratioOf(b, a)
	if err != nil {
		return row
	}
	row[4] = digits(r.Ratio.Ratio) + "×"
	if !measure.Sparse(r.N) {
		row[5] = digits(r.Low) + " to " + digits(r.High)
		if r.Low > 1 || r.High < 1 {
			row[7] = "*"
		}
	}
	return row
}
