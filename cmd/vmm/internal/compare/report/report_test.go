package report

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
)

// render returns the three forms of a run's report by their names.
func render(t *testing.T, m *madeUp) map[string]string {
	t.Helper()
	dir := m.write(t)
	var screen strings.Builder
	if err := Render(&screen, dir); err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{"terminal": screen.String()}
	for _, name := range []string{MarkdownFile, HTMLFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		forms[name] = string(text)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".report-*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
	return forms
}

// Each form has the claims, the arms, what is missing, the sample with two modes and
// the mark of an emulated host.
func TestRender(t *testing.T) {
	for name, text := range render(t, newMadeUp().everything()) {
		for _, want := range []string{"Emulated KVM", "firecracker is not in $PATH", "download a release", "thousands of containers",
			"qemu-microvm", "podman ‡", "two modes"} {
			if !strings.Contains(strings.ReplaceAll(text, "\n", " "), want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
	}
}

// A sample with a number and words is one sample.
func TestFactsCountSamples(t *testing.T) {
	m := newMadeUp()
	m.add(compare.Sample{Experiment: "density", Arm: "podman", Metric: "stop", Unit: compare.Count, Value: 3, Text: "the limit"})
	for _, fact := range m.evidence().facts() {
		if fact[0] == "raw samples" && fact[1] != "1" {
			t.Errorf("of one sample the page says %s", fact[1])
		}
	}
}

func TestRenderOfNoRun(t *testing.T) {
	if err := Render(io.Discard, t.TempDir()); err == nil || !strings.Contains(err.Error(), "not the directory of a run") {
		t.Errorf("got %v, want that it is no run", err)
	}
}

// A run that has measured nothing has a report, in which nothing is decided.
func TestRenderOfNothing(t *testing.T) {
	for name, text := range render(t, newMadeUp()) {
		if n := strings.Count(strings.ToLower(text), "undecided"); n < len(claims) {
			t.Errorf("%s: %d claims are undecided, want %d", name, n, len(claims))
		}
	}
}

// A single sample, and values that no arm can have had, are no reason to fail.
func TestRenderOfStrangeValues(t *testing.T) {
	m := newMadeUp()
	for i, v := range []float64{0, -1, 1e-300, 1e300, 3} {
		for _, e := range []string{"start", "memory", "density", "request"} {
			m.add(compare.Sample{Experiment: e, Arm: m.run.Arms[i].Name, Metric: "time", Unit: compare.Seconds, Value: v,
				From: compare.Spawn, To: compare.Payload, Instances: i % 2})
		}
	}
	render(t, m)
}

// elements calls f for each element of a page.
func elements(t *testing.T, page string, f func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			f(n)
		}
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	text := ""
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			text += d.Data
		}
	}
	return text
}

// The page is one file that loads nothing and runs nothing, with names for those who
// do not see it, and the host's mark on each plot.
func TestPage(t *testing.T) {
	page := render(t, newMadeUp().everything())[HTMLFile]
	ids := make(map[string]bool)
	plots, tables := 0, 0
	var targets []string
	elements(t, page, func(n *html.Node) {
		if id := attribute(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("two elements have the id %q", id)
			}
			ids[id] = true
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
		if link := attribute(n, "href"); link != "" {
			targets = append(targets, strings.TrimPrefix(link, "#"))
		}
		switch n.Data {
		case "script", "link", "img", "iframe", "object", "embed":
			t.Errorf("the page has a <%s>", n.Data)
		case "svg":
			plots++
			targets = append(targets, strings.Fields(attribute(n, "aria-labelledby"))...)
			if !strings.Contains(textOf(n), "emulated KVM") {
				t.Errorf("a plot is not marked: %s", textOf(n))
			}
		case "table":
			tables++
		case "tbody":
			if len(strings.TrimSpace(textOf(n))) == 0 {
				t.Errorf("a table has no rows: %s", textOf(n.Parent))
			}
		}
	})
	for _, target := range targets {
		if !ids[target] {
			t.Errorf("nothing has the id %q", target)
		}
	}
	if plots != 8 || tables < 15 {
		t.Errorf("%d plots and %d tables, want 4 plots in two sizes and at least 15 tables", plots, tables)
	}
	if strings.Contains(page, "@import") || strings.Contains(page, "url(") {
		t.Error("the style sheet loads something")
	}
}

// What arms say is a text in every form, whatever it is.
func TestHostileText(t *testing.T) {
	const hostile = "</td></svg><script>alert(1)</script> | `x` [a](http://b) \x1b[31m ' \"> \u202e"
	m := newMadeUp().everything()
	m.run.Arms[1].Name, m.run.Arms[1].Kind = hostile, arm.Container
	m.run.Arms[2].Version, m.run.Arms[6].Problem, m.run.Arms[6].Install = hostile, hostile, hostile
	m.run.Host.CPU.Model += hostile
	m.run.Experiments = append(m.run.Experiments, hostile)
	m.run.Arms[5].Kind = arm.Kind(hostile)
	for i := range m.samples {
		if m.samples[i].Arm == "bubblewrap" {
			m.samples[i].Arm = hostile
		}
	}
	m.add(compare.Sample{Experiment: "start", Arm: "crun", Metric: "time", Unit: compare.Seconds, Failed: hostile})
	m.add(compare.Sample{Experiment: hostile, Arm: "crun", Metric: hostile, Unit: compare.Unit(hostile), Text: hostile})
	m.add(compare.Sample{Experiment: hostile, Arm: "crun", Metric: hostile, Unit: compare.Unit(hostile), Value: 3})
	forms := render(t, m)
	for name, text := range forms {
		if strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("%s has a character that a terminal may obey", name)
		}
	}
	elements(t, forms[HTMLFile], func(n *html.Node) {
		if n.Data == "script" {
			t.Errorf("a script is on the page, in a <%s>", n.Parent.Data)
		}
	})
	for line := range strings.Lines(forms[MarkdownFile]) {
		// Outside of code, nothing that an arm said has a meaning.
		outside := codeSpan.ReplaceAllString(line, "")
		if strings.HasPrefix(line, "    ") {
			continue // code
		}
		if strings.Contains(outside, "<script>") || strings.Contains(strings.ReplaceAll(outside, `\]`, ""), "](http") {
			t.Errorf("Markdown that an arm wrote: %s", line)
		}
	}
}

// codeSpan is one with a fence of two, as commands have that contain a backquote.
var codeSpan = regexp.MustCompile("(`` .* ``|` [^`]* `)")

// Values of another host are in no ratio, and it is said why.
func TestOtherHost(t *testing.T) {
	m := newMadeUp().everything()
	for i := range m.samples {
		if m.samples[i].Arm == "vmm" {
			m.samples[i].Host = "another"
		}
	}
	for name, text := range render(t, m) {
		text = strings.Join(strings.Fields(text), " ")
		if !strings.Contains(text, "vmm on host another") || !strings.Contains(text, "differ in host") || !strings.Contains(text, "other hosts") {
			t.Errorf("%s does not say that vmm was measured on another host", name)
		}
	}
}

// Times with different boundaries are never in one table, nor in a ratio.
func TestRatioOfBoundaries(t *testing.T) {
	a := &group{Key: compare.Key{Arm: "a", To: compare.Payload}, values: []float64{1}}
	b := &group{Key: compare.Key{Arm: "b", To: compare.Exit}, values: []float64{1}}
	if r, err := ratio(a, b); err == nil || !strings.Contains(err.Error(), "last boundary: payload and exit") {
		t.Errorf("got %v, %v, want a refusal", r, err)
	}
}
