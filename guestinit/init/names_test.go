package main

import (
	"maps"
	"slices"
	"testing"

	"microvm/guestinit"
)

func TestNamesAreThoseTheBuilderLinks(t *testing.T) {
	got := slices.Sorted(maps.Keys(commands))
	if want := slices.Sorted(slices.Values(guestinit.Commands)); !slices.Equal(got, want) {
		t.Errorf("init is %q, but the archive has links for %q", got, want)
	}
}
