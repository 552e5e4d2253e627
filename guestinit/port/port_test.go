package port

import "testing"

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name, ioports string
		want          uint16
		found         bool
	}{
		{"none", "0000-001f : dma1\n", 0, false},
		{"top level", "0000-001f : dma1\n06a0-06a7 : MVMM0001:00\n", 0x6a0, true},
		{"under a bridge", "0000-0cf7 : PCI Bus 0000:00\n  0510-0517 : MVMM0001:00\n", 0x510, true},
		{"another device", "06a0-06a7 : MVMM00010:00\n", 0, false},
		{"mentioned, not named", "06a0-06a7 : not MVMM0001:00\n", 0, false},
		{"reader is not root", "0000-0000 : MVMM0001:00\n", 0, false},
		{"not a number", "zzzz-zzzz : MVMM0001:00\n", 0, false},
		{"cut off", "06a0-06a7", 0, false},
		{"no such port", "1ffff-20006 : MVMM0001:00\n", 0, false},
	} {
		got, found := find(tt.ioports, "MVMM0001")
		if got != tt.want || found != tt.found {
			t.Errorf("%s: find = %#x, %v, want %#x, %v", tt.name, got, found, tt.want, tt.found)
		}
	}
}

func TestPortOfTheCommandLine(t *testing.T) {
	t.Setenv(Variable, "0x610")
	if got := Open(); got != (Port{0x610, true}) {
		t.Errorf("Open = %+v, want port 0x610", got)
	}
}

// Without a port marks go nowhere, and the console is a terminal of unknown
// size: our guests' programs run on machines of others.
func TestNoPort(t *testing.T) {
	var p Port
	if p.Found() {
		t.Error("the zero Port was found")
	}
	if err := p.Mark(1); err != nil {
		t.Error(err)
	}
	if err := p.Report(3); err != nil {
		t.Error(err)
	}
	if terminal, columns, rows, err := p.Console(); !terminal || columns != 0 || rows != 0 || err != nil {
		t.Errorf("Console = %v, %d, %d, %v, want true, 0, 0", terminal, columns, rows, err)
	}
}
