package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"microvm/cmd/kvmhost/internal/wire"
)

// ownTrees are the directories that a throw-away host has for itself.
var ownTrees = []string{"/proc", "/sys", "/dev"}

// maybeShared says whether the directory may be shared: not the root, which
// would leave nothing to throw away, nor what every host has its own of.
// Under /dev, /dev/shm is a directory like any other.
func maybeShared(dir string) bool {
	if dir == "/" || strings.HasPrefix(dir, "/dev/shm/") {
		return dir != "/"
	}
	return !slices.ContainsFunc(ownTrees, func(tree string) bool { return isWithin(dir, tree) })
}

// isWithin says whether the clean path dir is tree or lies in it.
func isWithin(dir, tree string) bool {
	return dir == tree || strings.HasPrefix(dir, strings.TrimSuffix(tree, "/")+"/")
}

// project returns the directory that a command run in dir may be expected to
// write to: the git checkout around dir, or else the Go module, or else dir
// itself.
func project(dir string) string {
	for _, marker := range []string{".git", "go.mod"} {
		for d := dir; maybeShared(d); d = filepath.Dir(d) {
			if _, err := os.Lstat(filepath.Join(d, marker)); err == nil {
				return d
			}
		}
	}
	return dir
}

// sharesFor returns the directories to share for a command run in dir, each
// only once, parents before what lies within them, which then needs no share
// of its own.
func sharesFor(dir string, more []string) []wire.Share {
	paths := slices.Clone(more)
	if maybeShared(dir) {
		paths = append(paths, project(dir))
	}
	slices.Sort(paths)
	var shares []wire.Share
	for _, path := range paths {
		covered := slices.ContainsFunc(shares, func(s wire.Share) bool { return isWithin(path, s.Path) })
		if !covered {
			shares = append(shares, wire.Share{Tag: fmt.Sprintf("kvmhost.share%d", len(shares)), Path: path})
		}
	}
	return shares
}
