package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/host"
	"microvm/guestinit/initramfs"
)

// Options are what a run is made of.
type Options struct {
	Dir     string   // of the run
	Argv    []string // the command line, for the record
	Version string   // of vmm, for the record

	Arms        []arm.Arm
	Only        []string // of the arms these, by their names; nil is all
	Experiments []*experiment.Experiment
	Effort      experiment.Effort
	Seed        uint64 // 0 for one that nobody chose

	Env     arm.Env
	Kernels []Kernel
	Program string   // our payload's file, "" to build it
	Source  string   // directory in the source tree that it and Env.GuestInit are built from
	Rootfs  string   // directory of the user's, "" for none
	Command []string // of the user's, in that directory; nil for our payload
	// Distribution is a disk image or a directory with a distribution's user
	// space, "" for that of this host.
	Distribution string
	// DropCaches allows to empty the page cache of the whole host.
	DropCaches bool

	// Guard is a command that calls [arm.RunGuard], nil to do without.
	Guard []string
	// Tell, if not nil, is told of what is done.
	Tell func(Progress)
}

// A Progress says how far a run is.
type Progress struct {
	Doing       string // in a few words
	Part, Parts int    // experiments, from 1; 0 before the first
	Step, Steps int    // of this part, 0 if that is not known
}

// ErrNoArm is why there is nothing to measure.
var ErrNoArm = errors.New("no arm is usable here; vmm compare arms tells why")

// Make makes a run, or goes on with one that was interrupted. What has been measured
// is kept in the directory whatever comes. When it returns, nothing is left on the host
// but that directory.
func Make(ctx context.Context, o *Options) (err error) {
	r := &runner{Options: o}
	work, err := openWork()
	if err != nil {
		return err
	}
	r.work = work.path
	defer func() { err = errors.Join(err, work.remove()) }()
	if err := r.build(ctx); err != nil {
		return err
	}
	if err := r.describe(ctx); err != nil {
		return err
	}
	if r.journal, err = openJournal(o.Dir, r.run); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.journal.close()) }()
	if r.run = r.journal.run; !r.run.Finished.IsZero() {
		return nil
	}
	if o.Guard != nil {
		guard, err := arm.StartGuard(o.Guard)
		if err != nil {
			return err
		}
		defer guard.Dismiss()
	}
	defer func() { err = errors.Join(err, r.release()) }()
	err = r.prepare(ctx)
	if err == nil {
		err = r.measure(ctx)
	}
	if err != nil && len(r.journal.samples) > 0 {
		err = fmt.Errorf("%w\nwhat was measured is kept in %s; the same command goes on from there", err, o.Dir)
	}
	return err
}

// A runner makes a run.
type runner struct {
	*Options
	arms     []arm.Arm // with one for each kernel
	run      *Run
	journal  *journal
	work     string // directory of what is prepared
	prepared []experiment.PreparedArm
}

// build builds from the source tree what there is no file of.
func (r *runner) build(ctx context.Context) error {
	if r.Program == "" {
		r.tell(Progress{Doing: "building the payload"})
		r.Program = filepath.Join(r.work, "payload")
		if err := initramfs.BuildPayload(ctx, r.Source, r.Program); err != nil {
			return err
		}
	}
	if r.Env.GuestInit != "" {
		return nil
	}
	r.tell(Progress{Doing: "building the guests' init"})
	r.Env.GuestInit = filepath.Join(r.work, "init.cpio")
	o := initramfs.Options{Output: r.Env.GuestInit, SourceDir: r.Source, Minimal: true}
	if _, err := initramfs.Build(ctx, o); err != nil {
		return err
	}
	if o.ModuleDirs = moduleDirs(r.Kernels); len(o.ModuleDirs) == 0 {
		return nil
	}
	r.Env.GuestDrivers = filepath.Join(r.work, "drivers.cpio")
	o.Output, o.Modules = r.Env.GuestDrivers, guestDrivers
	_, err := initramfs.Build(ctx, o)
	return err
}

// guestDrivers are the modules for a disk and a network.
var guestDrivers = []string{"virtio_mmio", "virtio_blk", "virtio_net"}

// describe finds out what there is to run with. It changes nothing.
func (r *runner) describe(ctx context.Context) error {
	if len(r.Kernels) > 0 {
		r.Env.Kernel = r.Kernels[0].File
	}
	r.arms = withKernels(r.Arms, r.Kernels)
	h := host.Read(os.DirFS("/"))
	r.run = &Run{
		Version: Version, Started: time.Now(), Argv: r.Argv, VMM: r.Version,
		Effort: r.Effort, Seed: r.Seed, Payload: r.payload(), Memory: r.Env.Memory,
		Host: h, Digest: h.Digest(),
		Arms: r.probe(ctx),
	}
	for _, e := range r.Experiments {
		r.run.Experiments = append(r.run.Experiments, e.Name)
	}
	return r.describeInputs()
}

// probe tells which arms are usable. One that nobody wants is not.
func (r *runner) probe(ctx context.Context) []Arm {
	all := Probe(ctx, &r.Env, r.arms)
	for i, a := range r.arms {
		name := a.Name()
		if k, ok := a.(kernelArm); ok {
			name = k.Arm.Name()
		}
		if r.Only != nil && !slices.Contains(r.Only, name) {
			all[i].Version, all[i].Problem = "", "was not asked for"
		}
	}
	return all
}

// payload is what instances are started with.
func (r *runner) payload() []string {
	if r.Command == nil {
		return []string{Payload, "start"}
	}
	return append([]string{Payload, "exec"}, r.Command...)
}

func (r *runner) describeInputs() error {
	inputs := [][2]string{{"payload", r.Program}, {"vmm", r.Env.VMM}, {"init", r.Env.GuestInit}}
	if r.Env.GuestDrivers != "" {
		inputs = append(inputs, [2]string{"drivers", r.Env.GuestDrivers})
	}
	for _, k := range r.Kernels {
		inputs = append(inputs, [2]string{"kernel " + k.Name, k.File})
	}
	if r.Rootfs != "" {
		inputs = append(inputs, [2]string{"root directory", r.Rootfs})
	}
	for _, i := range inputs {
		in, err := readInput(i[0], i[1])
		if err != nil {
			return fmt.Errorf("%s: %w", i[0], err)
		}
		r.run.Inputs = append(r.run.Inputs, in)
	}
	return nil
}

// Probe tells which of the arms are usable.
func Probe(ctx context.Context, e *arm.Env, arms []arm.Arm) []Arm {
	var all []Arm
	for _, a := range arms {
		known := Arm{Name: a.Name(), Kind: a.Kind(), Summary: a.Summary(), Install: a.Install(), Passes: a.Passes()}
		version, err := a.Probe(ctx, e)
		if err != nil {
			known.Problem = err.Error()
		} else {
			known.Version = version
		}
		all = append(all, known)
	}
	return all
}

// prepare makes the root directory, and of it what each usable arm starts from.
// An arm that fails is left out, with the reason in the run's description.
func (r *runner) prepare(ctx context.Context) error {
	root := filepath.Join(r.work, "root")
	r.tell(Progress{Doing: "preparing the root directory"})
	if err := makeRoot(ctx, root, r.Rootfs, r.Program); err != nil {
		return err
	}
	for i, a := range r.arms {
		known := &r.run.Arms[i]
		if known.Version == "" {
			continue
		}
		known.Problem = "" // a run that goes on tries again
		r.tell(Progress{Doing: "preparing " + a.Name()})
		if err := r.prepareArm(ctx, a, root); ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil {
			known.Problem = err.Error()
		}
	}
	if err := r.journal.writeRun(); err != nil {
		return err
	}
	if len(r.prepared) == 0 {
		return ErrNoArm
	}
	return nil
}

// prepareArm prepares an arm and tries it once. That also fills the page cache.
func (r *runner) prepareArm(ctx context.Context, a arm.Arm, root string) error {
	dir := filepath.Join(r.work, a.Name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	p, err := a.Prepare(ctx, &r.Env, root, dir)
	if err != nil {
		return fmt.Errorf("cannot be prepared: %w", err)
	}
	prepared := experiment.PreparedArm{Arm: a, Prepared: p}
	s := r.session(root, "")
	result, err := s.Complete(ctx, prepared, r.run.Payload)
	if _, seen := result.Passed[compare.Payload]; err == nil && !seen && slices.Contains(a.Passes(), compare.Payload) {
		err = errors.New("the mark of its payload was not seen")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot be started: %w", err), closeArm(prepared))
	}
	r.prepared = append(r.prepared, prepared)
	return nil
}

// measure runs the experiments that are not done.
func (r *runner) measure(ctx context.Context) error {
	for i, e := range r.Experiments {
		if slices.Contains(r.run.Completed, e.Name) {
			continue
		}
		s := r.session(filepath.Join(r.work, "root"), e.Name)
		s.Progress = func(step, total int) {
			r.tell(Progress{Doing: e.Name, Part: i + 1, Parts: len(r.Experiments), Step: step, Steps: total})
		}
		s.Progress(0, 0)
		if err := e.Run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		r.run.Completed = append(r.run.Completed, e.Name)
		if err := r.journal.writeRun(); err != nil {
			return err
		}
	}
	r.run.Finished = time.Now()
	return r.journal.writeRun()
}

// session is what the experiment of that name works with.
func (r *runner) session(root, name string) *experiment.Session {
	return &experiment.Session{
		Began: time.Now(),
		Arms:  r.prepared, Env: &r.Env, Root: root, Dir: r.work, Start: r.run.Payload,
		Effort: r.Effort, Seed: r.run.Seed, DropCaches: r.DropCaches, Distribution: r.Distribution,
		Record: func(s compare.Sample) error {
			s.Experiment = name
			return r.journal.record(s)
		},
		Recorded: func() []compare.Sample { return r.journal.of(name) },
	}
}

// release takes away what arms have left on the host.
func (r *runner) release() error {
	var errs []error
	for _, p := range r.prepared {
		errs = append(errs, closeArm(p))
	}
	return errors.Join(errs...)
}

// closeTime is how long an arm may take to clear up. It gets it even if the run
// was interrupted.
const closeTime = time.Minute

func closeArm(p experiment.PreparedArm) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		return fmt.Errorf("%s: left on the host: %w", p.Name(), err)
	}
	return nil
}

func (r *runner) tell(p Progress) {
	if r.Tell != nil {
		r.Tell(p)
	}
}
