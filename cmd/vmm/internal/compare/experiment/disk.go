package experiment

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/ldd"
	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
)

// Disk measures what a host must keep on disk to start the payload.
var Disk = &Experiment{
	Name:  "disk",
	About: "bytes on disk that are needed to run the payload: images and kernels, programs, a distribution",
	Run:   disk,
}

// The metrics of Disk, in bytes. A file that is needed for several reasons, or has
// several names, counts once in each sum.
const (
	// DiskFiles is the length of the files that an arm starts the payload from:
	// the root directory, or the image, bundle or kernel and initramfs.
	DiskFiles = "files"
	// DiskFilesAllocated is what they take on disk: holes take nothing, a small
	// file a whole block.
	DiskFilesAllocated = "files-allocated"
	// DiskFilesShared is the part of DiskFiles that other arms start from as well,
	// such as a kernel, or the root directory itself.
	DiskFilesShared = "files-shared"
	// DiskInstance is by how much DiskFilesAllocated is more while one instance
	// runs: what a further instance takes.
	DiskInstance = "instance"
	// DiskPrograms and DiskProgramsAllocated are the size of the programs that
	// the arm's processes run on the host, with the libraries that they are linked with. What they
	// load later (dlopen) is not in it.
	DiskPrograms          = "programs"
	DiskProgramsAllocated = "programs-allocated"
	// DiskProgramsNames is a text: the paths of the programs.
	DiskProgramsNames = "programs-names"
	// DiskDistribution is what a distribution's user space takes on disk, which is
	// meant by "a guest OS". No arm starts from it; the samples' arm is
	// DistributionArm. DiskDistributionName is a text: which one it is.
	DiskDistribution     = "distribution"
	DiskDistributionName = "distribution-name"
)

// DistributionArm is the arm that samples of a distribution bear.
const DistributionArm = "distribution"

func disk(ctx context.Context, s *Session) error {
	for i, a := range s.Arms {
		s.Progress(i, len(s.Arms))
		if s.Done(a.Name(), DiskPrograms, 0) > 0 {
			continue
		}
		if err := s.diskOf(ctx, a); err != nil {
			return err
		}
	}
	if s.Done(DistributionArm, DiskDistribution, 0) > 0 {
		return nil
	}
	what, size, err := s.distribution()
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: DistributionArm, Metric: DiskDistribution, Unit: compare.Bytes}, err)
	}
	return errors.Join(
		s.Record(compare.Sample{Arm: DistributionArm, Metric: DiskDistributionName, Text: what}),
		s.recordBytes(DistributionArm, DiskDistribution, size))
}

// diskOf measures an arm.
func (s *Session) diskOf(ctx context.Context, a PreparedArm) error {
	// Its first instance, when the arm was prepared, has left what it leaves for all
	// others, such as a cache: that is of the files, too.
	if err := s.diskOfInstance(ctx, a); err != nil {
		return err
	}
	files, err := filesOf(a)
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: DiskFiles, Unit: compare.Bytes}, err)
	}
	err = errors.Join(
		s.recordBytes(a.Name(), DiskFiles, files.length()),
		s.recordBytes(a.Name(), DiskFilesAllocated, files.allocated()),
		s.recordBytes(a.Name(), DiskFilesShared, s.sharedFiles(a, files).length()))
	if err != nil {
		return err
	}
	return s.diskOfPrograms(ctx, a)
}

func (s *Session) recordBytes(name, metric string, n int64) error {
	return s.Record(compare.Sample{Arm: name, Metric: metric, Unit: compare.Bytes, Value: float64(n)})
}

// sharedFiles returns those of an arm's files that another arm has as well.
func (s *Session) sharedFiles(a PreparedArm, files fileSet) fileSet {
	shared := make(fileSet)
	for _, other := range s.Arms {
		if other.Name() == a.Name() {
			continue
		}
		theirs, err := filesOf(other)
		if err != nil {
			continue // which is said where it is measured
		}
		for id, f := range files {
			if _, both := theirs[id]; both {
				shared[id] = f
			}
		}
	}
	return shared
}

// diskOfInstance measures what a running instance adds.
func (s *Session) diskOfInstance(ctx context.Context, a PreparedArm) error {
	h := &herd{Session: s, arm: a}
	var during fileSet
	before, err := filesOf(a)
	if err == nil {
		_, err = h.add(ctx)
	}
	if err == nil {
		during, err = filesOf(a)
		err = errors.Join(err, h.dismiss(ctx))
	}
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: DiskInstance, Unit: compare.Bytes}, err)
	}
	return s.recordBytes(a.Name(), DiskInstance, during.allocated()-before.allocated())
}

// diskOfPrograms measures what the arm's processes run.
func (s *Session) diskOfPrograms(ctx context.Context, a PreparedArm) error {
	programs, err := s.programsOf(ctx, a)
	var closure []string
	if err == nil {
		closure, err = ldd.FList(programs...)
	}
	var files fileSet
	if err == nil {
		files, err = readFiles(append(closure, programs...)...)
	}
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: DiskPrograms, Unit: compare.Bytes}, err)
	}
	return errors.Join(
		s.Record(compare.Sample{Arm: a.Name(), Metric: DiskProgramsNames, Text: strings.Join(programs, " ")}),
		s.recordBytes(a.Name(), DiskProgramsAllocated, files.allocated()),
		s.recordBytes(a.Name(), DiskPrograms, files.length()))
}

// programsOf returns the host's programs that an instance's processes run: the first,
// and those that strace sees. Those that the arm starts the payload from are
// not among them.
func (s *Session) programsOf(ctx context.Context, a PreparedArm) ([]string, error) {
	calls, err := s.trace(ctx, a, traceExecs()...)
	if err != nil {
		return nil, err
	}
	inside, err := filesOf(a)
	if err != nil {
		return nil, err
	}
	var programs []string
	for _, path := range slices.Sorted(maps.Keys(calls.executed)) {
		path, err := exec.LookPath(path)
		if err != nil || !filepath.IsAbs(path) || strings.HasPrefix(path, "/proc/") {
			continue // tried and not found, or found inside
		}
		if id, _, err := stat(path); err != nil || inside.has(id) {
			continue
		}
		programs = append(programs, path)
	}
	return programs, nil
}

// A fileSet is files by what the kernel knows them by.
type fileSet map[fileID]fileSize

type fileID struct{ device, inode uint64 }

// A fileSize is the length of a file and what it takes on disk, in bytes.
type fileSize struct{ length, allocated int64 }

func (s fileSet) has(id fileID) bool { _, ok := s[id]; return ok }

func (s fileSet) length() (sum int64) {
	for _, f := range s {
		sum += f.length
	}
	return sum
}

func (s fileSet) allocated() (sum int64) {
	for _, f := range s {
		sum += f.allocated
	}
	return sum
}

// filesOf returns the files that an arm starts from.
func filesOf(a PreparedArm) (fileSet, error) {
	paths := a.Files()
	if paths == nil {
		return nil, errNoFiles
	}
	return readFiles(paths...)
}

var errNoFiles = errors.New("it is not known what files it starts from")

// readFiles returns the files at paths, and those in directories at paths, with the
// directories. A link at a path is followed, one in a directory is a file. What
// is mounted in a directory is left out: it is of another file system, or there twice,
// as what a running container sees is. So is what disappears meanwhile. Only
// directories tell their file system: files of an overlay have devices of its layers.
func readFiles(paths ...string) (fileSet, error) {
	files := make(fileSet)
	for _, path := range paths {
		top, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil, err
		}
		topID, _, err := stat(top)
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
			var id fileID
			var size fileSize
			if err == nil {
				id, size, err = stat(name)
			}
			switch {
			case errors.Is(err, fs.ErrNotExist) && name != top:
				return nil
			case err != nil:
				return err
			case entry.IsDir() && id.device != topID.device:
				return fs.SkipDir
			}
			files[id] = size
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func stat(path string) (fileID, fileSize, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fileID{}, fileSize{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	const block = 512 // st_blocks' (stat(3type))
	size := fileSize{st.Size, st.Blocks * block}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		size.length = 0 // it has no contents of its own
	}
	return fileID{st.Dev, st.Ino}, size, nil
}
