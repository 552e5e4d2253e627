package session

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readInput describes the file or directory at path.
func readInput(name, path string) (Input, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Input{}, err
	}
	in := Input{Name: name, Path: abs}
	info, err := os.Stat(abs)
	if err != nil {
		return Input{}, err
	}
	h := sha256.New()
	if info.IsDir() {
		in.Size, err = hashTree(h, abs)
	} else {
		in.Size, err = hashFile(h, abs)
	}
	in.SHA256 = fmt.Sprintf("%x", h.Sum(nil))
	return in, err
}

func hashFile(h hash.Hash, path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(h, f)
}

// hashTree hashes what makes a directory's contents: names, modes, links and
// files, in the order of names. It returns the bytes in files.
func hashTree(h hash.Hash, root string) (size int64, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %v\n", name, info.Mode())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			fmt.Fprintf(h, "%q\n", to)
			return err
		case info.Mode().IsRegular():
			n, err := hashFile(h, path)
			size += n
			return err
		}
		return nil
	})
	return size, err
}
