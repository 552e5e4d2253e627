package initramfs

import (
	"io"
	"os"

	"microvm/guestinit"
)

// Extend writes to the file output the archive in the file base, which Build has
// made, and after it one of all that is in the directory root. A guest finds in
// it what it would find in an archive with that Options.Root; to make it, no
// compiler is needed.
func Extend(base, root, output string) error {
	in, err := os.Open(base)
	if err != nil {
		return err
	}
	defer in.Close()
	o := Options{Root: root}
	a := newArchive()
	if err := o.addRoot(a); err != nil {
		return err
	}
	for _, ours := range []string{relative(guestinit.Init), console, null} {
		delete(a.records, ours) // what comes later would replace what is in base
	}
	_, err = writeAtomically(output, func(w io.Writer) error {
		size, err := io.Copy(w, in)
		if err != nil {
			return err
		}
		// The kernel unpacks archives that follow one another, each from a
		// multiple of 4 bytes on (Linux
		// Documentation/driver-api/early-userspace/buffer-format).
		if _, err := w.Write(make([]byte, -size&3)); err != nil {
			return err
		}
		return a.write(w)
	})
	return err
}
