// Package session runs experiments and keeps what they measure.
//
// A run is a directory with two files:
//
//	run.json       what was measured where and with what: a [Run]
//	samples.jsonl  the samples, a line each, in the order of time
//
// The second only grows. A run that was interrupted, however that was, goes on
// where it was if it is started again with the same inputs.
package session

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/host"
)

// Version is that of the files' format.
const Version = 1

// The names of the files.
const (
	runFile     = "run.json"
	samplesFile = "samples.jsonl"
)

// A Run is what is known of a run beside its samples.
type Run struct {
	Version  int       `json:"version"` // of the format
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"` // zero if it was interrupted
	// Argv is the command line, VMM the version of the program.
	Argv []string `json:"argv"`
	VMM  string   `json:"vmm"`

	Effort      experiment.Effort `json:"effort"`
	Seed        uint64            `json:"seed"`
	Experiments []string          `json:"experiments"` // in their order
	// Payload is what instances are started with, a path in the root directory
	// and arguments.
	Payload []string `json:"payload"`
	Memory  uint64   `json:"memory"` // of each guest in bytes
	// Completed are the experiments that are done.
	Completed []string `json:"completed"`

	Host *host.Host `json:"host"`
	// Digest is the host's: [host.Host.Digest]. Samples bear it.
	Digest string  `json:"digest"`
	Arms   []Arm   `json:"arms"`
	Inputs []Input `json:"inputs"`
}

// An Arm is one that is known, usable or not.
type Arm struct {
	Name    string             `json:"name"`
	Kind    arm.Kind           `json:"kind"`
	Summary string             `json:"summary"`
	Install string             `json:"install"`
	Passes  []compare.Boundary `json:"passes"`
	Version string             `json:"version,omitempty"`
	// Problem is why it was left out, "" if it was not. With a version, the arm
	// is there but failed.
	Problem string `json:"problem,omitempty"`
}

// An Input is a file that the run measures with.
type Input struct {
	Name   string `json:"name"` // what it is, such as "payload"
	Path   string `json:"path"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// ReadRun reads the description of the run in dir.
func ReadRun(dir string) (*Run, error) {
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil {
		return nil, fmt.Errorf("%s is not the directory of a run: %w", dir, err)
	}
	r := new(Run)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, runFile), err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("%s is of format %d; this vmm reads %d", filepath.Join(dir, runFile), r.Version, Version)
	}
	return r, nil
}

// ReadSamples reads the samples of the run in dir.
func ReadSamples(dir string) ([]compare.Sample, error) {
	f, err := os.Open(filepath.Join(dir, samplesFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	samples, err := compare.ReadSamples(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return samples, nil
}
