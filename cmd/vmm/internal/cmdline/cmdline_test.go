package cmdline

import (
	"slices"
	"strings"
	"testing"
)

func TestBuild(t *testing.T) {
	for _, tt := range []struct {
		name, base   string
		params, args []string
		want         string
	}{
		{name: "empty"},
		{name: "base only", base: "console=ttyS0 panic=-1", want: "console=ttyS0 panic=-1"},
		{name: "added", base: "console=ttyS0", params: []string{"quiet", "", "loglevel=3"}, want: "console=ttyS0 quiet loglevel=3"},
		{name: "arguments", base: "quiet", args: []string{"sh", "-c", "echo hi"}, want: `quiet -- sh -c "echo hi"`},
		{name: "empty argument", args: []string{""}, want: `-- ""`},
		{name: "tab in argument", args: []string{"a\tb"}, want: "-- \"a\tb\""},
		{name: "no-break space", args: []string{"a\u00a0b"}, want: "-- \"a\u00a0b\""},
		{name: "letter with the byte of a no-break space", args: []string{"voilà", "né"}, want: `-- "voilà" né`},
		{name: "single quotes", args: []string{"echo 'a b'"}, want: `-- "echo 'a b'"`},
		{name: "base has arguments", base: "quiet -- one", params: []string{"ro"}, args: []string{"two"}, want: "quiet ro -- one two"},
		{name: "base has arguments, none added", base: "quiet -- one", params: []string{"ro"}, want: "quiet ro -- one"},
		{name: "dashes in quotes", base: `a="x -- y" b`, args: []string{"z"}, want: `a="x -- y" b -- z`},
		{name: "dashes at the start", base: "-- one", params: []string{"ro"}, want: "ro -- one"},
		{name: "dashes at the end", base: "ro --", args: []string{"one"}, want: "ro -- one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Build(tt.base, tt.params, tt.args)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{`say "hi"`}, "double quote"},
		{[]string{"two\nlines"}, "line break"},
		{[]string{"nul\x00"}, "line break"},
		{slices.Repeat([]string{"a"}, MaxInitArgs+1), "at most 31"},
	} {
		got, err := Build("quiet", nil, tt.args)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: got %q, %v; want an error with %q", tt.args, got, err, tt.want)
		}
	}
}
