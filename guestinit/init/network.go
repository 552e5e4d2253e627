package main

import (
	"errors"
	"math/bits"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// resolvConf is where programs look for name servers.
const resolvConf = "/etc/resolv.conf"

// A network is what ip= on the kernel's command line wants of an interface (Linux
// Documentation/admin-guide/nfs/nfsroot.rst):
//
//	ip=dhcp
//	ip=CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS0:DNS1
//
// A kernel with its network driver built in does so itself; in a stock one the
// driver is a module, and it is left to us.
type network struct {
	device  string
	dhcp    bool
	address netip.Prefix
	gateway netip.Addr // not valid if there is none
	servers []netip.Addr
}

// networkOption returns what ip= says, nil if it is not there or says "off".
func networkOption(line string) (*network, error) {
	for word := range kernelWords(line) {
		if word == "--" {
			break
		}
		if value, ok := strings.CutPrefix(word, "ip="); ok {
			n, err := parseNetwork(value)
			if err != nil {
				return nil, errors.New("ip=" + value + ": " + err.Error())
			}
			return n, nil
		}
	}
	return nil, nil
}

// Fields of ip= by their place.
const (
	fieldClient = iota
	_           // server
	fieldGateway
	fieldNetmask
	_ // host name
	fieldDevice
	fieldAutoconf
	fieldDNS0
	fieldDNS1
	fields
)

func parseNetwork(value string) (*network, error) {
	n := &network{device: "eth0"}
	parts := strings.Split(value, ":")
	if len(parts) == 1 {
		parts = append(make([]string, fieldAutoconf), value) // ip=AUTOCONF
	}
	if len(parts) > fields {
		return nil, errors.New("too many fields; it is IPv4")
	}
	parts = append(parts, make([]string, fields-len(parts))...)
	if parts[fieldDevice] != "" {
		n.device = parts[fieldDevice]
	}
	switch parts[fieldAutoconf] {
	case "dhcp", "on", "any":
		n.dhcp = true
		return n, nil
	case "off", "none", "":
	default:
		return nil, errors.New("want dhcp, or an address and off")
	}
	if parts[fieldClient] == "" {
		return nil, nil
	}
	return n, n.parseStatic(parts)
}

// parseStatic reads the addresses.
func (n *network) parseStatic(parts []string) error {
	address := func(field int) (a netip.Addr, err error) {
		if parts[field] != "" {
			if a, err = netip.ParseAddr(parts[field]); err != nil || !a.Is4() {
				return a, errors.New(parts[field] + " is no IPv4 address")
			}
		}
		return a, nil
	}
	var all [fields]netip.Addr
	for _, field := range []int{fieldClient, fieldGateway, fieldNetmask, fieldDNS0, fieldDNS1} {
		var err error
		if all[field], err = address(field); err != nil {
			return err
		}
	}
	length := 24 // without a netmask; the classes of addresses are long gone
	if mask := all[fieldNetmask]; mask.IsValid() {
		b := mask.As4()
		m := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		if length = bits.LeadingZeros32(^m); m<<length != 0 {
			return errors.New(parts[fieldNetmask] + " is no netmask")
		}
	}
	n.address, n.gateway = netip.PrefixFrom(all[fieldClient], length), all[fieldGateway]
	for _, server := range []netip.Addr{all[fieldDNS0], all[fieldDNS1]} {
		if server.IsValid() {
			n.servers = append(n.servers, server)
		}
	}
	return nil
}

// commands are what sets the interface up.
func (n *network) commands() [][]string {
	if n.dhcp {
		return [][]string{{"dhclient", "-ipv6=false", "^" + n.device + "$"}}
	}
	c := [][]string{
		{"ip", "address", "add", n.address.String(), "dev", n.device},
		{"ip", "link", "set", n.device, "up"},
	}
	if n.gateway.IsValid() {
		c = append(c, []string{"ip", "route", "add", "default", "via", n.gateway.String(), "dev", n.device})
	}
	return c
}

// bringUp sets the interface up, and says what fails.
func (n *network) bringUp() {
	for _, argv := range n.commands() {
		path, err := find(argv[0])
		if err != nil {
			say("ip=: this initramfs has no command ", argv[0])
			return
		}
		pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
		if err != nil {
			say("ip=: ", path, ": ", err.Error())
			return
		}
		if status := wait(pid); status != 0 {
			say("ip=: ", strings.Join(argv, " "), ": exit status ", strconv.Itoa(int(status)))
			return
		}
	}
	var resolv strings.Builder
	for _, server := range n.servers {
		resolv.WriteString("nameserver " + server.String() + "\n")
	}
	if resolv.Len() > 0 {
		if err := os.WriteFile(resolvConf, []byte(resolv.String()), 0o644); err != nil {
			say("ip=: ", err.Error())
		}
	}
}
