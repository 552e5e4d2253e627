package qcow2

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
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

// FuzzRead opens images and reads them. Laws: no panic; bounded memory; what is
// read, or refused, is the same the second time; errors name the file.
func FuzzRead(f *testing.F) {
	for _, image := range fuzzImages(f) {
		f.Add(image)
	}
	path := filepath.Join(f.TempDir(), "image.qcow2")
	opened := false
	options := Options{OpenFile: func(name string, _ bool) (*os.File, error) {
		if opened {
			return nil, errors.New("image.qcow2: a backing file")
		}
		opened = true
		return os.Open(name)
	}}
	f.Fuzz(func(t *testing.T, image []byte) {
		writeFile(t, path, image)
		opened = false
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		i, err := Open(path, options)
		if err != nil {
			if !bytes.Contains([]byte(err.Error()), []byte("image.qcow2")) {
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
