package vmm

import (
	"crypto/sha256"
	"errors"
	"fmt"
	stdnet "net"
	"os"
	"slices"

	"microvm/devices/virtio/net"
	"microvm/vmm/network/pcap"
	"microvm/vmm/network/tap"
	"microvm/vmm/network/user"
	"microvm/vmm/network/vhost"
)

// A Net is a network interface of the guest. Its cable ends at a tap interface of
// the host or in a network of its own inside the monitor.
type Net struct {
	Tap   *tap.Config  // one of these two, the other is nil
	User  *user.Config //
	VHost VHost        // who carries a tap's frames
	// MAC is the guest's address, of 6 bytes; nil for one that is made of the
	// host's identity and the other end's name, and so is the same at each
	// start.
	MAC stdnet.HardwareAddr
	// MTU is what the guest is told to use, in bytes of a packet without its
	// Ethernet header; 0 to leave it at the usual 1500.
	MTU int
	// PCAP is the file that all frames are written to, "" for none.
	PCAP string
}

// A VHost says whether the host's kernel carries the frames of a tap.
type VHost string

// Whether it does.
const (
	VHostAuto VHost = "auto" // where it can and nobody else wants them; the zero VHost means this as well
	VHostOn   VHost = "on"   // or the machine is not made
	VHostOff  VHost = "off"
)

// checkNets passes what is wrong with the network interfaces to wrong.
func (c *Config) checkNets(wrong func(error)) {
	for i := range c.Nets {
		n := &c.Nets[i]
		n.check(wrong)
		same := func(other Net) bool { return other.PCAP == n.PCAP }
		if n.PCAP != "" && slices.ContainsFunc(c.Nets[:i], same) {
			wrong(fmt.Errorf("pcap: %s is given for two interfaces; each needs a file of its own", n.PCAP))
		}
	}
}

// check passes what is wrong with n to wrong.
func (n *Net) check(wrong func(error)) {
	if err := n.checkEnd(); err != nil {
		wrong(err)
	}
	if n.User == nil && n.MTU != 0 && (n.MTU < net.MinMTU || n.MTU > net.MaxMTU) {
		wrong(fmt.Errorf("an mtu of %d; must be from %d to %d", n.MTU, net.MinMTU, net.MaxMTU))
	}
	if n.MAC != nil {
		if err := checkMAC(n.MAC); err != nil {
			wrong(err)
		}
	}
	if n.PCAP != "" && n.VHost == VHostOn {
		wrong(errors.New("pcap with vhost=on: the monitor does not see the frames that the kernel carries"))
	}
}

// checkEnd returns what is wrong with where the cable ends. A user network has
// narrower limits of the MTU than a network device.
func (n *Net) checkEnd() error {
	switch {
	case (n.Tap == nil) == (n.User == nil):
		return errors.New("its cable ends at a tap or in a user network")
	case n.Tap != nil:
		return n.Tap.Check()
	}
	c := n.userConfig()
	return c.Check()
}

// userConfig is the configuration of the user network.
func (n *Net) userConfig() user.Config {
	c := *n.User
	c.MTU = n.MTU
	return c
}

// macMulticast is the bit of a MAC address's first byte that is set in
// addresses of groups, and macLocal the one that is clear in those that a
// manufacturer has given (IEEE 802 §8.2).
const (
	macMulticast = 1 << 0
	macLocal     = 1 << 1
)

func checkMAC(mac stdnet.HardwareAddr) error {
	switch {
	case len(mac) != 6:
		return fmt.Errorf("mac %v has %d bytes; an Ethernet address has 6", mac, len(mac))
	case mac[0]&macMulticast != 0:
		return fmt.Errorf("mac %v is the address of a group: the lowest bit of its first byte must be 0", mac)
	case mac.String() == "00:00:00:00:00:00":
		return fmt.Errorf("mac %v is no address", mac)
	}
	return nil
}

// macOf makes an address of the other end's name that no other host has.
func macOf(name string) stdnet.HardwareAddr {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		host, _ := os.Hostname() // without a name there is only the other end's
		id = []byte(host)
	}
	sum := sha256.Sum256(append(id, name...))
	mac := stdnet.HardwareAddr(sum[:6])
	mac[0] = mac[0]&^macMulticast | macLocal
	return mac
}

// addNets puts the network devices on the board.
func (m *Machine) addNets() error {
	for i, n := range m.config.Nets {
		backend, name, err := n.open(i)
		if err != nil {
			return err
		}
		mac := n.MAC
		if mac == nil {
			mac = macOf(name)
		}
		dev := net.New(net.Options{MAC: mac, MTU: uint16(n.MTU)}, backend)
		if err := m.addVirtio(fmt.Sprintf("net%d", i), dev); err != nil {
			return err
		}
		m.nets = append(m.nets, dev)
	}
	return nil
}

// open opens the backend of interface i, and returns it with the name of its end.
func (n *Net) open(i int) (b net.Backend, name string, err error) {
	if n.User != nil {
		b, name, err = n.openUser(i)
	} else {
		b, name, err = n.openTap()
	}
	if err != nil || n.PCAP == "" {
		return b, name, err
	}
	p, err := pcap.New(b, n.PCAP, name)
	if err != nil {
		return nil, "", errors.Join(err, b.Close())
	}
	return p, name, nil
}

// openUser starts a network of the guest's own. Its name is another than those of
// this guest's other interfaces; other guests' may have the same, for none of them
// is there.
func (n *Net) openUser(i int) (net.Backend, string, error) {
	b, err := user.New(n.userConfig())
	if err != nil {
		return nil, "", err
	}
	return b, fmt.Sprintf("user%d", i), nil
}

// openTap opens a tap, and the kernel's part that carries its frames.
func (n *Net) openTap() (net.Backend, string, error) {
	c := *n.Tap
	c.MTU = uint16(n.MTU)
	t, err := tap.Open(c)
	if err != nil {
		return nil, "", err
	}
	if n.VHost == VHostOff || n.PCAP != "" {
		return t, t.Name(), nil
	}
	v, err := vhost.New(t)
	switch {
	case err == nil:
		return v, t.Name(), nil
	case n.VHost == VHostOn:
		return nil, "", errors.Join(fmt.Errorf("vhost=on: %w", err), t.Close())
	}
	return t, t.Name(), nil
}

// SetLink plugs in the cable of network interface n, or pulls it out. It
// panics if there is no such interface.
func (m *Machine) SetLink(n int, up bool) error { return m.nets[n].SetLink(up) }
