package option

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// parse reads text as a flag of some options of each kind, and says what it got.
func parse(text, dir string) (string, error) {
	var (
		path, id, cache string
		ro              bool
		forwards        []string
		tap             = "-"
	)
	s := Set{Dir: dir}
	s.Path("path", &path)
	s.Text("id", &id)
	s.Switch("ro", &ro)
	s.Choice("cache", &cache, "writeback", "none")
	s.Optional("tap", func(v string) error { tap = v; return nil })
	s.Each("forward", func(v string) error {
		if v == "bad" {
			return errors.New("not a forward")
		}
		forwards = append(forwards, v)
		return nil
	})
	err := s.Parse(text, "path")
	text = fmt.Sprintf("%s|%s|%t|%s|%v", path, id, ro, cache, forwards)
	if tap != "-" {
		text += "|" + tap
	}
	return text, err
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, dir, want string }{
		{"disk.img", "", "disk.img||false||[]"},
		{"path=disk.img", "", "disk.img||false||[]"},
		{"disk.img,ro,id=x", "", "disk.img|x|true||[]"},
		{"id=x,path=a=b", "", "a=b|x|false||[]"},
		{"ro=off,path=p", "", "p||false||[]"},
		{"ro,path=p", "", "p||true||[]"},
		{"ro=on", "", "||true||[]"},
		{"a,,b,id=,,", "", "a,b|,|false||[]"},
		{"a,,,ro", "", "a,||true||[]"},
		{"cache=none,forward=1,forward=2", "", "||false|none|[1 2]"},
		{"tap", "", "||false||[]|"},
		{"tap=t0,ro", "", "||true||[]|t0"},
		{"disk.img", "/etc", "/etc/disk.img||false||[]"},
		{"path=/disk.img", "/etc", "/disk.img||false||[]"},
	} {
		if got, err := parse(tt.text, tt.dir); err != nil || got != tt.want {
			t.Errorf("%q in %q: %s, %v; want %s", tt.text, tt.dir, got, err, tt.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	const empty = "there is an empty option; a comma in a value is written twice"
	for text, want := range map[string]string{
		"":                    empty,
		"disk.img,":           empty,
		",ro":                 empty,
		"path":                "path needs a value: path=…",
		"a,id":                "id needs a value: id=…",
		"a,id=":               "id is empty",
		"a,path=b":            "path is given twice",
		"a,ro,ro":             "ro is given twice",
		"a,cach=none":         `no option "cach"; did you mean cache?`,
		"a,frobnicate":        `no option "frobnicate"; there are path, id, ro, cache, tap, forward`,
		"a,=b":                `no option ""; there are path, id, ro, cache, tap, forward`,
		"a,cache=non":         "cache=non: must be one of writeback, none; did you mean none?",
		"a,ro=yes":            "ro=yes: must be one of on, off",
		"a,forward=bad":       "forward=bad: not a forward",
		"a,id=,ro=yes,forwar": "id is empty; ro=yes: must be one of on, off; no option \"forwar\"; did you mean forward?",
	} {
		if _, err := parse(text, ""); err == nil || err.Error() != want {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// FuzzSplit: the parts, joined with each of their own commas doubled, are the
// text again.
func FuzzSplit(f *testing.F) {
	for _, text := range []string{"", ",", ",,", ",,,", "a,b", "a,,b,c=d,,"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts := split(text)
		for i := range parts {
			parts[i] = strings.ReplaceAll(parts[i], ",", ",,")
		}
		if again := strings.Join(parts, ","); again != text {
			t.Errorf("%q became %q", text, again)
		}
	})
}
