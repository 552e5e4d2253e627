package vmm

import (
	"bytes"
	stdnet "net"
	"testing"

	"microvm/vmm/network/user"
)

// Each interface of a guest that has no address given gets one of its own, and the
// same at each start.
func TestMadeMACs(t *testing.T) {
	address := func(i int) stdnet.HardwareAddr {
		n := Net{User: &user.Config{}}
		b, name, err := n.open(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		return macOf(name)
	}
	first, second := address(0), address(1)
	if bytes.Equal(first, second) {
		t.Errorf("two interfaces have the address %v", first)
	}
	if again := address(0); !bytes.Equal(again, first) {
		t.Errorf("the first interface has %v, then %v", first, again)
	}
	for _, mac := range []stdnet.HardwareAddr{first, second} {
		if err := checkMAC(mac); err != nil || mac[0]&macLocal == 0 {
			t.Errorf("%v: %v; want a locally administered address", mac, err)
		}
	}
}
