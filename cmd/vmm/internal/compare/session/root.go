package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Payload is where a root directory has our payload.
const Payload = "/payload"

// mountPoints are the directories that arms mount their file systems on.
var mountPoints = []string{"proc", "sys", "dev", "tmp", "etc", "run"}

// makeRoot makes the root directory that every arm is given: the payload alone, or
// beside a copy of what the user has in from.
func makeRoot(ctx context.Context, root, from, payload string) error {
	if from == "" {
		if err := os.Mkdir(root, 0o755); err != nil {
			return err
		}
	} else if err := copyTree(ctx, from, root); err != nil {
		return err
	}
	for _, name := range mountPoints {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	text, err := os.ReadFile(payload)
	if err != nil {
		return err
	}
	// Not over a file of the user's.
	f, err := os.OpenFile(filepath.Join(root, Payload), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s has a file %s of its own, where ours has to be", from, Payload)
	} else if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// copyTree copies a tree with owners, links, devices and attributes.
func copyTree(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--archive", "--reflink=auto", "--", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copying %s: %w: %s", from, err, strings.TrimSpace(string(out)))
	}
	return nil
}
