package boot

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// A kernel with CONFIG_IKCONFIG carries its configuration, compressed by gzip,
// between these marks (scripts/extract-ikconfig).
const (
	configStart = "IKCFG_ST"
	configEnd   = "IKCFG_ED"
)

// maxConfig bounds a configuration's text. A distribution's has 300 KiB.
const maxConfig = 8 << 20

// searchChunk is how much of a kernel is searched at a time.
const searchChunk = 1 << 20

// findConfig returns the configuration in img, whose bytes are in data, or "" if
// there is none.
func findConfig(data io.ReaderAt, img *elfImage) (string, error) {
	for _, s := range img.segments {
		section := io.NewSectionReader(data, int64(s.Offset), int64(s.FileSize))
		at, err := indexOf(section, configStart)
		if err != nil {
			return "", err
		}
		if at < 0 {
			continue
		}
		start := at + int64(len(configStart))
		rest := io.NewSectionReader(section, start, min(section.Size()-start, maxConfig))
		size, err := indexOf(rest, configEnd)
		if err != nil {
			return "", err
		}
		if size < 0 {
			return "", errors.New("its end is missing")
		}
		return gunzipConfig(io.NewSectionReader(rest, 0, size))
	}
	return "", nil
}

// indexOf returns where mark begins in r, or -1.
func indexOf(r *io.SectionReader, mark string) (int64, error) {
	buf := make([]byte, searchChunk+len(mark))
	for at := int64(0); at < r.Size(); at += searchChunk {
		n, err := r.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.Index(buf[:n], []byte(mark)); i >= 0 {
			return at + int64(i), nil
		}
	}
	return -1, nil
}

func gunzipConfig(r io.Reader) (string, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = errors.New("it is too long")
	}
	return string(text), err
}
