package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

var versionCommand = &command{
	name:    "version",
	summary: "tell which vmm this is",
	usage:   "version [--json]",
	setUp: func(f *flags) runner {
		var asJSON bool
		f.boolVar(&asJSON, "json", "for a program")
		return func(a *app, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if err := noArguments(args); err != nil {
				return err
			}
			v := readVersion()
			if asJSON {
				return writeJSON(a.stdout, v)
			}
			_, err := io.WriteString(a.stdout, v.String())
			return err
		}
	},
}

// A version says of what a program was built.
type version struct {
	Version  string `json:"version"`            // of the module, "(devel)" if built from a checkout
	Revision string `json:"revision,omitempty"` // git commit
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the checkout had changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readVersion reads what the Go tool left in the program.
func readVersion() version {
	v := version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	s := fmt.Sprintf("vmm %s, %s, %s\n", v.Version, v.Go, v.Platform)
	if v.Revision != "" {
		s += fmt.Sprintf("commit %s of %s", v.Revision, v.Time)
		if v.Modified {
			s += ", with changes"
		}
		s += "\n"
	}
	return s
}
