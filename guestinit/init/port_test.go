package main

import "testing"

func TestFindPort(t *testing.T) {
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
		got, found := findPort(tt.ioports, "MVMM0001")
		if got != tt.want || found != tt.found {
			t.Errorf("%s: findPort = %#x, %v, want %#x, %v", tt.name, got, found, tt.want, tt.found)
		}
	}
}

func TestPortOfTheCommandLine(t *testing.T) {
	t.Setenv(portVariable, "0x610")
	if got := openGuestPort(); got != (guestPort{0x610, true}) {
		t.Errorf("openGuestPort = %+v, want port 0x610", got)
	}
}

// Without a port marks go nowhere, and the console is a terminal of unknown
// size: init runs on machines of others.
func TestNoPort(t *testing.T) {
	var p guestPort
	p.mark(stageInit)
	p.report(3)
	if terminal, columns, rows := p.console(); !terminal || columns != 0 || rows != 0 {
		t.Errorf("console = %v, %d, %d, want true, 0, 0", terminal, columns, rows)
	}
}
