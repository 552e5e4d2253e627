package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	want := []Setting{
		{"kernel", 2, "bzImage"},
		{"cpus", 4, int64(2)},
		{"no-cache", 5, true},
		{"trace", 6, []any{"exits", "bus"}},
	}
	for name, text := range map[string]string{
		"c.toml": "# a comment\nkernel = 'bzImage'\n\ncpus = 2\n\"no-cache\" = true\ntrace = [\"exits\", \"bus\"]\n",
		"c.json": "{\n\"kernel\": \"bzImage\",\n\n\"cpus\": 2,\n\"no-cache\": true,\n\"trace\": [\"exits\", \"bus\"]\n}\n",
		"c.conf": "{\n\"kernel\": \"bzImage\",\n\n\"cpus\": 2,\n\"no-cache\": true,\n\"trace\": [\"exits\", \"bus\"]\n}\n",
	} {
		got, err := Read(write(t, name, text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, want)
		}
	}
	for name, text := range map[string]string{"empty.toml": "", "empty.json": "{}"} {
		if got, err := Read(write(t, name, text)); err != nil || len(got) != 0 {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"c.toml", "kernel = 'a'\ncpus = = 2\n", ":2: not TOML"},
		{"c.toml", "kernel = 'a'\nkernel = 'b'\n", ":2: not TOML"},
		{"c.toml", "kernel = 'a\n", ":1: not TOML"},
		{"c.json", "{\"a\": 1,\n\"b\" 2}", ":2: not JSON"},
		{"c.json", "{\"a\": 1,\n\"a\": 2}", `:2: "a" is set twice`},
		{"c.json", "[1]", "must be an object"},
		{"c.json", "", "ends too early"},
		{"c.json", "{\"a\":\n", "ends too early"},
		{"c.json", "{}\n{}", ":2: not JSON: there is more"},
		{"c.toml", "\x7fELF\x00", "not a text file"},
		{"c.toml", strings.Repeat("#", maxFile+1), "larger than"},
	} {
		got, err := Read(write(t, tt.name, tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.name) {
			t.Errorf("%.40q: got %v, %v; want an error with %q and the file's name", tt.text, got, err, tt.want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a file that is not there")
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("no error for a directory")
	}
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name, text, key string
		want            int
	}{
		{"table", "cpus = 1\n\n[boot]\nmemory = 1\n", "boot", 3},
		{"blanks", "cpus = 1\r\n\r\n [ boot ]\r\n", "boot", 3},
		{"dotted key", "cpus = 1\nboot.memory = 1\nboot.x = 2\n", "boot", 2},
		{"tables of an array", "cpus = 1\n[[boot]]\nx = 1\n[[boot]]\nx = 2\n", "boot", 2},
		{"text in an array", "append = [\n\"kernel = 1\",\n]\nkernel = 'k'\n", "kernel", 4},
		{"longer text", "cmdline = \"\"\"\nkernel = 1\n\"\"\"\nkernel = 'k'\n", "kernel", 4},
		{"key of a table", "[a]\nboot = 1\n[boot]\nx = 1\n", "boot", 3},
		{"the key again in a table", "kernel = 'k'\n[a]\nkernel = 1\n", "kernel", 1},
		{"comment", "# kernel = 1\nkernel = 'k'\n", "kernel", 2},
	} {
		got, err := Read(write(t, "c.toml", tt.text))
		i := slices.IndexFunc(got, func(s Setting) bool { return s.Key == tt.key })
		if err != nil || i < 0 || got[i].Line != tt.want {
			t.Errorf("%s: got %v, %v; want %s on line %d", tt.name, got, err, tt.key, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("kernel = 'a'\ncpus = 2\n"))
	f.Add([]byte("{\"kernel\": \"a\", \"cpus\": 2.5, \"trace\": [1, {}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) ([]Setting, int, error){parseTOML, parseJSON} {
			settings, line, err := parse(text)
			if err != nil && (line < 1 || line > 1+strings.Count(string(text), "\n")) {
				t.Errorf("error %v on line %d of %q", err, line, text)
			}
			for _, s := range settings {
				if s.Line < 1 {
					t.Errorf("setting %v has no line", s)
				}
			}
		}
	})
}
