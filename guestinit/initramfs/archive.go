package initramfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// An archive is what goes into the initramfs, by path without a leading slash.
// Times and inode numbers are not the host's, and the order is that of the
// names, so that the same contents make the same bytes. A record has an Ino, and
// the Dev that it belongs to, only if the host knows the file by several names.
type archive struct {
	records map[string]cpio.Record
}

func newArchive() *archive { return &archive{records: map[string]cpio.Record{}} }

// add adds a record, and the directories that lead to it. A record that is
// there already is replaced.
func (a *archive) add(r cpio.Record) {
	r.Name = a.resolve(r.Name)
	a.addParents(r.Name)
	a.records[r.Name] = r
}

// maxLinks is how many symbolic links the kernel follows in one path (Linux
// include/linux/namei.h MAXSYMLINKS).
const maxLinks = 40

// resolve follows the symbolic links among the directories of name. A root's
// /bin may be a link to usr/bin, which the kernel, as it unpacks in the order of
// names, has not got yet when it comes to /bin/sh.
func (a *archive) resolve(name string) string {
	for range maxLinks {
		dir, below, found := a.linkAbove(name)
		if !found {
			break
		}
		target := linkTarget(a.records[dir])
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(dir), target)
		}
		name = relative(path.Join("/", target, below))
	}
	return name
}

// linkAbove returns the first of the directories that lead to name that is a
// symbolic link, and the rest of name.
func (a *archive) linkAbove(name string) (dir, below string, found bool) {
	for i, c := range name {
		if c != '/' {
			continue
		}
		if r, found := a.records[name[:i]]; found && r.Mode&cpio.S_IFMT == cpio.S_IFLNK {
			return name[:i], name[i:], true
		}
	}
	return "", "", false
}

func linkTarget(r cpio.Record) string {
	target := make([]byte, r.FileSize)
	_, _ = r.ReadAt(target, 0) // from memory
	return string(target)
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
	_, found := a.records[a.resolve(relative(guest))]
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

func tooLarge(host string, size uint64) error {
	return fmt.Errorf("%s has %d bytes; a file in an initramfs has at most %d", host, size, uint64(maxFileSize))
}

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
			return tooLarge(host, uint64(info.Size()))
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
	names := slices.Sorted(maps.Keys(a.records)) // a directory comes before what is in it
	links := a.links()
	out := cpio.Newc.Writer(w)
	for i, name := range names {
		r := a.records[name]
		l := links[hostFile{r.Dev, r.Ino}]
		r.Dev, r.Ino, r.NLink = 0, uint64(i+1), 1
		if l != nil {
			l.number(&r)
		}
		if err := out.WriteRecord(r); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(out)
}

// A hostFile identifies a file of the host's.
type hostFile struct{ dev, ino uint64 }

// A link is a file with several names in the archive.
type link struct {
	names   uint64 // how many
	written uint64
	ino     uint64 // in the archive, from the first that is written
}

// links returns the files that have several names.
func (a *archive) links() map[hostFile]*link {
	links := map[hostFile]*link{}
	for _, r := range a.records {
		if r.Ino == 0 {
			continue
		}
		file := hostFile{r.Dev, r.Ino}
		if links[file] == nil {
			links[file] = &link{}
		}
		links[file].names++
	}
	return links
}

// number makes of r the next of the file's names. They have one inode number,
// and the last has the contents.
func (l *link) number(r *cpio.Record) {
	if l.written == 0 {
		l.ino = r.Ino
	}
	l.written++
	r.Ino, r.NLink = l.ino, l.names
	if l.written < l.names {
		r.ReaderAt, r.FileSize = nil, 0
	}
}
