package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"microvm/cmd/vmm/internal/option"
	"microvm/vmm"
	"microvm/vmm/network/tap"
)

const netHelp = "a network interface, by `OPTIONS`: tap=NAME for a tap interface of the host, which is made if it does not exist and that is permitted, " +
	"or tap for a new one; host=ADDRESS/BITS for the host's end, mac=ADDRESS, mtu=BYTES, queues=NUMBER, vhost=auto, on or off: whether the host's kernel carries the frames, by default where it can, pcap=FILE to write them to, for tcpdump -r; may be repeated"

// addNet adds the network interface that a value of --net describes.
func (o *bootOptions) addNet(s *option.Set, text string) error {
	var n vmm.Net
	t := &tap.Config{}
	s.Optional("tap", func(v string) error { n.Tap, t.Name = t, v; return nil })
	s.Func("host", func(v string) (err error) {
		if t.Host, err = netip.ParsePrefix(v); err != nil {
			return errors.New("must be an address and the bits of its network, such as 10.0.0.1/24")
		}
		return nil
	})
	s.Func("mac", func(v string) (err error) {
		if n.MAC, err = net.ParseMAC(v); err != nil {
			return errors.New("must be six bytes such as 02:00:00:12:34:56")
		}
		return nil
	})
	s.Func("mtu", number(&n.MTU))
	s.Func("queues", number(&t.Queues))
	s.Choice("vhost", (*string)(&n.VHost), string(vmm.VHostAuto), string(vmm.VHostOn), string(vmm.VHostOff))
	s.Path("pcap", &n.PCAP)
	if err := s.Parse(text, ""); err != nil {
		return err
	}
	if n.Tap == nil {
		return errors.New("tap=NAME or tap is missing: the other end of the cable")
	}
	o.nets = append(o.nets, n)
	return nil
}

// number is an option whose value is a whole number above zero.
func number(p *int) func(string) error {
	return func(v string) (err error) {
		if *p, err = strconv.Atoi(v); err != nil || *p < 1 {
			return fmt.Errorf("must be a whole number above 0")
		}
		return nil
	}
}
