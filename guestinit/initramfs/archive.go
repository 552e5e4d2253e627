package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// An archive is what goes into the initramfs, by path without a leading slash.
// Owner, times and inode numbers are not the host's, and the order is that of
// the names, so that the same contents make the same bytes.
type archive struct {
	records map[string]cpio.Record
}

func newArchive() *archive { return &archive{records: map[string]cpio.Record{}} }

// add adds a record, and the directories that lead to it. A record that is
// there already is replaced.
func (a *archive) add(r cpio.Record) {
	a.addParents(r.Name)
	a.records[r.Name] = r
}

func (a *archive) addParents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, found := a.records[dir]; !found {
			a.records[dir] = cpio.Directory(dir, 0o755)
		}
	}
}

// has reports whether there is something at the guest's path.
func (a *archive) has(guest string) bool {
	_, found := a.records[relative(guest)]
	return found
}

// relative returns the name in the archive of an absolute path of the guest's.
func relative(guest string) string { return strings.TrimPrefix(path.Clean(guest), "/") }

func (a *archive) addFile(guest string, content []byte, perm fs.FileMode) {
	a.add(cpio.StaticFile(relative(guest), string(content), uint64(perm.Perm())))
}

func (a *archive) addLink(guest, target string) { a.add(cpio.Symlink(relative(guest), target)) }

func (a *archive) addDir(guest string, perm uint64) { a.add(cpio.Directory(relative(guest), perm)) }

// maxFileSize is what the 8 hexadecimal digits of a size in cpio's newc format
// hold.
const maxFileSize = 1<<32 - 1

// addHost adds the host's file at f.Host, or the directory with all that is in
// it, at f.Guest. A symbolic link inside a directory stays one.
func (a *archive) addHost(f File) error {
	top, err := filepath.EvalSymlinks(f.Host)
	if err != nil {
		return err
	}
	return filepath.WalkDir(top, func(host string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(top, host)
		if err != nil {
			return err
		}
		return a.addHostEntry(host, path.Join(f.Guest, filepath.ToSlash(below)), entry)
	})
}

func (a *archive) addHostEntry(host, guest string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case 0:
		if info.Size() > maxFileSize {
			return fmt.Errorf("%s has %d bytes; a file in an initramfs has at most %d", host, info.Size(), int64(maxFileSize))
		}
		content, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		a.addFile(guest, content, info.Mode())
	case fs.ModeDir:
		a.addDir(guest, uint64(info.Mode().Perm()))
	case fs.ModeSymlink:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		a.addLink(guest, target)
	default:
		return fmt.Errorf("%s: neither a file, a directory nor a symbolic link", host)
	}
	return nil
}

// write writes the archive in cpio's newc format
// (Linux Documentation/driver-api/early-userspace/buffer-format).
func (a *archive) write(w io.Writer) error {
	names := make([]string, 0, len(a.records))
	for name := range a.records {
		names = append(names, name)
	}
	slices.Sort(names) // a directory comes before what is in it
	out := cpio.Newc.Writer(w)
	for i, name := range names {
		r := a.records[name]
		r.Ino = uint64(i + 1)
		r.NLink = 1
		if err := out.WriteRecord(r); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(out)
}

// bytes returns the archive as it is written.
func (a *archive) bytes() ([]byte, error) {
	var b bytes.Buffer
	err := a.write(&b)
	return b.Bytes(), err
}
