package arm

import "testing"

// An instance's processes are not those of another with a longer name.
func TestHasWord(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"vmm-1", true}, {"a=vmm-1\x00b", true}, {"/libpod-vmm-1/x", true}, {"vmm-12 vmm-1.", true}, {"vmm-1-", true},
		{"", false}, {"vmm-12", false}, {"vmm-", false}, {"vmm-1é", false}, {"vmm-1a vmm-1b", false},
	} {
		if got := hasWord([]byte(tt.text), "vmm-1"); got != tt.want {
			t.Errorf("hasWord(%q) = %t", tt.text, got)
		}
	}
}
