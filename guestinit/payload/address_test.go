package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParsePrefix(t *testing.T) {
	for _, tt := range []struct {
		text          string
		address, mask []byte
	}{
		{"10.0.2.15/24", []byte{10, 0, 2, 15}, []byte{255, 255, 255, 0}},
		{"169.254.0.1/30", []byte{169, 254, 0, 1}, []byte{255, 255, 255, 252}},
		{"1.2.3.4/32", []byte{1, 2, 3, 4}, []byte{255, 255, 255, 255}},
		{"1.2.3.4/0", []byte{1, 2, 3, 4}, []byte{0, 0, 0, 0}},
		{"1.2.3.4/33", nil, nil},
		{"1.2.3.4", nil, nil},
		{"1.2.3/24", nil, nil},
		{"1.2.3.4.5/24", nil, nil},
		{"1.2.3.256/24", nil, nil},
	} {
		address, mask, err := parsePrefix(tt.text)
		if (err != nil) != (tt.address == nil) || !bytes.Equal(address, tt.address) || !bytes.Equal(mask, tt.mask) {
			t.Errorf("%q is %v, %v, %v, want %v, %v", tt.text, address, mask, err, tt.address, tt.mask)
		}
	}
}

func TestNetworkInterface(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ add, want, wantErr string }{
		{add: "lo", wantErr: `"", want one`},
		{add: "eth0", want: "eth0"},
		{add: "eth1", wantErr: `"eth0 eth1", want one`},
	} {
		if err := os.Mkdir(filepath.Join(dir, tt.add), 0o777); err != nil {
			t.Fatal(err)
		}
		name, err := networkInterface(dir)
		if name != tt.want || (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("with %s: %q, %v, want %q, %q", tt.add, name, err, tt.want, tt.wantErr)
		}
	}
}
