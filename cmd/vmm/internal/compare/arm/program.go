package arm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// findProgram returns the path of a program. Administrators' directories are
// searched as well, which are not in everybody's PATH.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// call runs a program to its end and returns its standard output.
func call(ctx context.Context, argv ...string) (string, error) { return callWith(ctx, nil, argv...) }

// callWith is call with more in the environment.
func callWith(ctx context.Context, env []string, argv ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w; it said: %s", strings.Join(argv, " "), err, quote(stderr.String()))
	}
	return stdout.String(), nil
}

// versionOf returns the first line that a program prints with these arguments.
func versionOf(ctx context.Context, name string, arguments ...string) (string, error) {
	path, err := findProgram(name)
	if err != nil {
		return "", err
	}
	text, err := call(ctx, append([]string{path}, arguments...)...)
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first, err
}

// needRoot returns an error for who is not root.
func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can do that: run the comparison as root, or by sudo")
	}
	return nil
}

// needFiles returns an error if one of the files, by what they are, is missing.
func needFiles(files map[string]string) error {
	var errs []error
	for what, path := range files {
		if path == "" {
			errs = append(errs, fmt.Errorf("there is no %s for it", what))
		} else if _, err := os.Stat(path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	return errors.Join(errs...)
}
