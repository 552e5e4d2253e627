package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"microvm/boot"
	"microvm/cmd/internal/size"
)

// What the cache subcommand can do.
const (
	cacheList   = "list"
	cacheClear  = "clear"
	cacheVerify = "verify"
)

var cacheActions = []string{cacheList, cacheClear, cacheVerify}

var cacheCommand = &command{
	name:    "cache",
	summary: "list, check or clear the decompressed kernels that are kept",
	usage:   "cache [list|verify|clear] [FLAGS]",
	about: `vmm boot keeps each kernel that it has decompressed, so that later starts can map
it as it is. All of it can be removed at any time.

list    lists the kernels, the last used first
verify  reads all of each and tells which are damaged; a start checks only the
        header, the size and when it was written
clear   removes them`,
	words: cacheActions,
	examples: [][2]string{
		{"vmm cache", "what is there"},
		{"vmm cache clear", "give the space back"},
	},
	statuses: []exitStatus{{1, "something failed, or verify found damage"}},
	setUp: func(f *flags) runner {
		o := &cacheOptions{}
		f.pathVar(&o.dir, "cache-dir", "the cache is in `DIRECTORY`; by default vmm in $XDG_CACHE_HOME or ~/.cache")
		f.boolVar(&o.asJSON, "json", "for a program")
		return func(a *app, args []string) error { return a.cache(f, o, args) }
	},
}

type cacheOptions struct {
	dir    string
	asJSON bool
}

// cache runs the subcommand.
func (a *app) cache(f *flags, o *cacheOptions, args []string) error {
	if err := f.check(); err != nil {
		return err
	}
	action := cacheList
	if len(args) > 0 {
		action, args = args[0], args[1:]
	}
	if err := noArguments(args); err != nil {
		return err
	}
	if !slices.Contains(cacheActions, action) {
		return unknown("action", action, cacheActions)
	}
	c, err := openCache(o.dir)
	if err != nil {
		return err
	}
	switch action {
	case cacheList:
		return a.listCache(c, o.asJSON, func(boot.CacheEntry) error { return nil })
	case cacheVerify:
		return a.listCache(c, o.asJSON, c.Verify)
	}
	return a.clearCache(c, o.asJSON)
}

func openCache(dir string) (*boot.Cache, error) {
	if dir == "" {
		var err error
		if dir, err = boot.DefaultCacheDir(); err != nil {
			return nil, err
		}
	}
	return boot.OpenCache(dir)
}

// listCache lists the kernels with what check finds wrong with each, which
// makes it fail.
func (a *app) listCache(c *boot.Cache, asJSON bool, check func(boot.CacheEntry) error) error {
	entries, err := c.Entries()
	if err != nil {
		return err
	}
	damaged := 0
	for i, e := range entries {
		if err := check(e); err != nil {
			entries[i].Damage = err.Error()
			damaged++
		}
	}
	if asJSON {
		// An empty list in JSON, not null.
		err = writeJSON(a.stdout, append([]boot.CacheEntry{}, entries...))
	} else {
		_, err = io.WriteString(a.stdout, cacheText(c.Dir(), entries))
	}
	if err == nil && damaged > 0 {
		return fmt.Errorf("%d of %d kernels are damaged; vmm cache clear removes them; a start, which checks only header, size and time, may use them",
			damaged, len(entries))
	}
	return err
}

// cacheText is the list for a person.
func cacheText(dir string, all []boot.CacheEntry) string {
	if len(all) == 0 {
		return fmt.Sprintf("%s: no kernels\n", dir)
	}
	var rows []string
	var sum uint64
	for _, e := range all {
		state := "good"
		if e.Damage != "" {
			state = e.Damage
		}
		version, _, _ := strings.Cut(e.Version, " ")
		rows = append(rows, fmt.Sprintf("%.12s\t%s\t%s\t%s\t%s\t%s", e.Hash, size.Human(e.Size), e.LastUsed.Format(time.DateOnly), version, e.Image, state))
		sum += e.Size
	}
	return table("kernel\tsize\tlast used\tversion\tmade of\tstate", rows) +
		fmt.Sprintf("%s: %d kernels, %s\n", dir, len(all), size.Human(sum))
}

// clearCache removes all kernels and says how many.
func (a *app) clearCache(c *boot.Cache, asJSON bool) error {
	entries, err := c.Entries()
	if err := errors.Join(err, c.Clear()); err != nil {
		return err
	}
	var freed uint64
	for _, e := range entries {
		freed += e.Size
	}
	if asJSON {
		return writeJSON(a.stdout, map[string]any{"removed": len(entries), "bytes": freed})
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d kernels removed, %s\n", c.Dir(), len(entries), size.Human(freed))
	return err
}
