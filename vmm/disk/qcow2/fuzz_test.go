package qcow2

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const (
	// fuzzRead is how much of a disk each input is read for.
	fuzzRead = 256 << 10
	// fuzzMemory is what this may take in all, freed or not: tables and
	// decompressed clusters of 2 MiB, and the window of zstd.
	fuzzMemory = 64 << 20
)

// fuzzImages are small images of each kind; the smaller the clusters, the more
// of an image is tables.
func fuzzImages(f *testing.F) (images [][]byte) {
	for _, options := range [][]string{
		{"-o", "cluster_size=512"},
		{"-o", "cluster_size=512,compat=0.10"},
		{"-c", "-o", "cluster_size=512"},
		{"-c", "-o", "cluster_size=1k,compression_type=zstd"},
		{"-o", "cluster_size=16k,extended_l2=on"},
		{"-c", "-o", "cluster_size=2M"},
	} {
		b, err := os.ReadFile(convert(f, contents(1, 20_000), options...))
		if err != nil {
			f.Fatal(err)
		}
		images = append(images, b)
	}
	return images
}

// only opens the file at path, and no backing files.
func only(path string) func(string, bool) (*os.File, error) {
	return func(name string, writable bool) (*os.File, error) {
		if name != path {
			return nil, errors.New("a backing file")
		}
		return openFile(name, writable)
	}
}

// FuzzRead opens images and reads them. Laws: no panic; bounded memory; what is
// read, or refused, is the same the second time; errors name the file.
func FuzzRead(f *testing.F) {
	for _, image := range fuzzImages(f) {
		f.Add(image)
	}
	path := filepath.Join(f.TempDir(), "image.qcow2")
	f.Fuzz(func(t *testing.T, image []byte) {
		writeFile(t, path, image)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		i, err := Open(path, Options{OpenFile: only(path)})
		if err != nil {
			if !strings.Contains(err.Error(), "image.qcow2") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		defer i.Close()
		for _, off := range []int64{0, max(i.Size()-fuzzRead, 0)} {
			first, second := make([]byte, fuzzRead), make([]byte, fuzzRead)
			n, err := i.ReadAt(first, off)
			n2, err2 := i.ReadAt(second, off)
			if n != n2 || (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(first, second) {
				t.Errorf("read %d, %v, then %d, %v", n, err, n2, err2)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > fuzzMemory {
			t.Errorf("%d bytes allocated", n)
		}
	})
}

// FuzzWrite does a script of operations, of three bytes each, to images that may
// contradict themselves. Laws: no panic, no hang, bounded memory; errors name the
// file.
func FuzzWrite(f *testing.F) {
	images := fuzzImages(f)
	for _, image := range images {
		f.Add(image, []byte{0, 0, 40, 1, 10, 99, 2, 9, 4, 3, 0, 0, 0, 3, 200, 3, 1, 1})
	}
	path := filepath.Join(f.TempDir(), "image.qcow2")
	f.Fuzz(func(t *testing.T, image, script []byte) {
		writeFile(t, path, image)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		i, err := Open(path, Options{Writable: true, OpenFile: only(path)})
		if err != nil {
			return
		}
		for s := script[:min(len(script), 30)]; len(s) >= 3; s = s[3:] {
			off := min(int64(s[1])<<7, i.Size())
			n := min(int64(s[2])<<5, i.Size()-off)
			switch s[0] % 4 {
			case 0:
				_, err = i.WriteAt(bytes.Repeat(s[1:2], int(n)), off)
			case 1:
				err = i.WriteZeroes(off, n)
			case 2:
				err = i.Discard(off, n)
			case 3:
				err = i.Flush()
			}
			if err != nil && !strings.Contains(err.Error(), "image.qcow2") {
				t.Errorf("the error does not name the file: %v", err)
			}
		}
		i.Close()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2*fuzzMemory {
			t.Errorf("%d bytes allocated", n)
		}
	})
}
