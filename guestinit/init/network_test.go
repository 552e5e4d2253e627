package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestNetworkOption(t *testing.T) {
	for line, want := range map[string]string{
		"console=ttyS0":        "none",
		"quiet ip=off":         "none",
		"quiet -- ip=dhcp":     "none",
		"ip=dhcp":              "[[dhclient -ipv6=false ^eth0$]] []",
		"ip=:::::eth1:dhcp":    "[[dhclient -ipv6=false ^eth1$]] []",
		"ip=on quiet":          "[[dhclient -ipv6=false ^eth0$]] []",
		"ip=10.0.0.2:::::eth0": "[[ip address add 10.0.0.2/24 dev eth0] [ip link set eth0 up]] []",
		"ip=10.0.0.2::10.0.0.1:255.255.0.0::eth1:off:1.1.1.1:8.8.8.8": "[[ip address add 10.0.0.2/16 dev eth1] [ip link set eth1 up]" +
			" [ip route add default via 10.0.0.1 dev eth1]] [1.1.1.1 8.8.8.8]",
		"ip=10.0.0.2:::255.255.255.255": "[[ip address add 10.0.0.2/32 dev eth0] [ip link set eth0 up]] []",
	} {
		n, err := networkOption(line)
		got := "none"
		if n != nil {
			got = fmt.Sprint(n.commands(), n.servers)
		}
		if err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		"ip=rarp":                      "want dhcp",
		"ip=10.0.0.300:::":             "no IPv4 address",
		"ip=fe80::1":                   "no IPv4 address",
		"ip=10.0.0.2:::255.0.255.0":    "no netmask",
		"ip=10.0.0.2::::::::::":        "too many fields",
		"ip=10.0.0.2::gateway:":        "no IPv4 address",
		"ip=10.0.0.2:::::eth0:rarp":    "want dhcp",
		"ip=10.0.0.2:::::eth0:off:dns": "no IPv4 address",
	} {
		if _, err := networkOption(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", line, err, want)
		}
	}
}
