package balloon

import (
	"slices"
	"testing"

	"microvm/kvm/guestmem"
)

// Neighbours go back to the host by one system call.
func TestRuns(t *testing.T) {
	m := guestmem.NewHeap(guestmem.Range{Start: 0, Size: 64 * PageSize})
	for _, tt := range []struct {
		pfns []uint32
		want []int // lengths in pages
	}{
		{[]uint32{9, 8, 7, 6}, []int{4}},
		{[]uint32{1, 2, 4, 5, 6, 8}, []int{2, 3, 1}},
		{[]uint32{3, 3, 4, 3, 4, 5}, []int{3}},
		{[]uint32{0, 63}, []int{1, 1}},
	} {
		var got []int
		err := runs(m, slices.Clone(tt.pfns), func(run []byte) error {
			got = append(got, len(run)/PageSize)
			return nil
		})
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%v: runs of %v pages, %v; want %v", tt.pfns, got, err, tt.want)
		}
	}
}
