// Package initramfs makes the throw-away host's first file system: a cpio
// archive with kvmhost itself as /init and the kernel modules that it loads.
package initramfs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/u-root/pkg/kmodule"
	"github.com/u-root/u-root/pkg/ldd"
)

// ModuleDir holds the modules in the archive. Their names sort in the order
// in which they are to be loaded.
const ModuleDir = "modules"

// Write writes an archive to w, with the program in the file init and its
// shared libraries, if it has any, and the modules in the files modules.
func Write(w io.Writer, init string, modules []string) error {
	program, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	records := []cpio.Record{cpio.StaticFile("init", string(program), 0o755)}
	libraries, err := ldd.FList(init)
	if err != nil {
		return fmt.Errorf("shared libraries of %s: %w", init, err)
	}
	for _, file := range libraries {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		records = append(records, cpio.StaticFile(path.Clean(file)[1:], string(content), 0o755))
	}
	for i, file := range modules {
		content, err := readModule(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		name := fmt.Sprintf("%s/%02d-%s", ModuleDir, i, path.Base(file))
		records = append(records, cpio.StaticFile(name, string(content), 0o644))
	}
	buffered := bufio.NewWriterSize(w, 1<<20)
	archive := cpio.Newc.Writer(buffered)
	if err := cpio.WriteRecordsAndDirs(archive, records); err != nil {
		return err
	}
	if err := cpio.WriteTrailer(archive); err != nil {
		return err
	}
	return buffered.Flush()
}

// readModule returns the content of a module's file, decompressed: not every
// kernel can do that itself.
func readModule(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := kmodule.CompressionReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
