package initramfs

import (
	"context"
	"path/filepath"
)

// BuildPayload builds the program of guestinit/payload for amd64 into the file
// output, from the source tree that sourceDir is in; "" is the working directory.
// The same sources make the same bytes.
func BuildPayload(ctx context.Context, sourceDir, output string) error {
	output, err := filepath.Abs(output) // the compiler works in the source tree
	if err != nil {
		return err
	}
	c, err := newCompiler(ctx, sourceDir, arches[0])
	if err != nil {
		return err
	}
	return c.program(ctx, payloadPackage, output)
}
