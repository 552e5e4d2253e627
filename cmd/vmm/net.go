package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"microvm/cmd/vmm/internal/option"
	"microvm/cmd/vmm/internal/suggest"
	"microvm/vmm"
	"microvm/vmm/network/tap"
	"microvm/vmm/network/user"
)

const netHelp = "a network interface, by `OPTIONS`, of which the first says where its cable ends: " +
	"tap=NAME at a tap interface of the host, which is made if there is none and that is permitted, or tap at a new one " +
	"(host=ADDRESS/BITS gives the host's end an address; queues=NUMBER, up to 16; " +
	"vhost=auto, on or off: whether the host's kernel carries the frames, by default where it can); " +
	"user in a network of its own inside the monitor, for which no privilege is needed " +
	"(hostfwd=tcp:[ADDRESS]:PORT-:PORT, or udp, leads a port of the host, on 127.0.0.1 if no address is given, " +
	"to the guest, and may be repeated; dns=ADDRESS[:PORT]; host=on lets the guest reach the host, as 10.0.2.2). " +
	"Either has mac=ADDRESS, mtu=BYTES, and pcap=FILE; may be repeated"

// netKinds declare the options of each kind of network.
var netKinds = map[string]func(*option.Set, *vmm.Net){"tap": tapOptions, "user": userOptions}

// addNet adds the network interface that a value of --net describes.
func (o *bootOptions) addNet(s *option.Set, text string) error {
	kind := text
	if end := strings.IndexAny(text, ",="); end >= 0 {
		kind = text[:end]
	}
	declare := netKinds[kind]
	if declare == nil {
		return fmt.Errorf("the first option: %w", suggest.Check(kind, []string{"tap", "user"}))
	}
	var n vmm.Net
	declare(s, &n)
	s.Func("mac", func(v string) (err error) {
		if n.MAC, err = net.ParseMAC(v); err != nil {
			return errors.New("must be six bytes such as 02:00:00:12:34:56")
		}
		return nil
	})
	s.Func("mtu", number(&n.MTU))
	s.Path("pcap", &n.PCAP)
	if err := s.Parse(text, ""); err != nil {
		return err
	}
	o.nets = append(o.nets, n)
	return nil
}

func tapOptions(s *option.Set, n *vmm.Net) {
	n.Tap = &tap.Config{}
	s.Optional("tap", func(v string) error { n.Tap.Name = v; return nil })
	s.Func("host", func(v string) (err error) {
		if n.Tap.Host, err = netip.ParsePrefix(v); err != nil {
			return errors.New("must be an address and the bits of its network, such as 10.0.0.1/24")
		}
		return nil
	})
	s.Func("queues", number(&n.Tap.Queues))
	s.Choice("vhost", (*string)(&n.VHost), string(vmm.VHostAuto), string(vmm.VHostOn), string(vmm.VHostOff))
}

func userOptions(s *option.Set, n *vmm.Net) {
	n.User = &user.Config{}
	s.Optional("user", func(v string) error {
		if v != "" {
			return errors.New("has no value")
		}
		return nil
	})
	s.Each("hostfwd", func(v string) error {
		f, err := user.ParseForward(v)
		n.User.Forwards = append(n.User.Forwards, f)
		return err
	})
	s.Func("dns", func(v string) (err error) { n.User.DNS, err = user.ParseDNS(v); return err })
	s.Switch("host", &n.User.HostAccess)
}

// number is an option whose value is a whole number above zero.
func number(p *int) func(string) error {
	return func(v string) (err error) {
		if *p, err = strconv.Atoi(v); err != nil || *p < 1 {
			return errors.New("must be a whole number above 0")
		}
		return nil
	}
}
