package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"microvm/guestinit/payload/protocol"
)

// hash says what is in a tree, in one number that is the same wherever the
// same is in it.
func hash(dir string) error {
	sum := sha256.New()
	var files int
	var size int64
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		// Quoted, a name has an end, so that two trees never read the same.
		_, _ = io.WriteString(sum, strconv.Quote(below)+entry.Type().String())
		if !entry.Type().IsRegular() {
			return nil
		}
		content := sha256.New()
		n, err := copyFile(content, name)
		files, size = files+1, size+n
		_, _ = sum.Write(content.Sum(nil))
		return err
	})
	if err != nil {
		return err
	}
	text(protocol.Tree, hex.EncodeToString(sum.Sum(nil)))
	count(protocol.HashFile, files)
	tell(&protocol.Result{Metric: protocol.HashSize, Unit: protocol.Bytes, Value: float64(size)})
	return nil
}

func copyFile(w io.Writer, name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(w, f)
}
