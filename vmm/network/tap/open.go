package tap

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"microvm/devices/eventfd"
	"microvm/devices/virtio/net"
)

// A Config says which tap interface to open.
type Config struct {
	// Name of the interface; "" for one to be made with a name that the
	// kernel chooses. One that does not exist is made, if that is permitted,
	// and is gone after Close.
	Name string
	// Host is the address and network of the host's end, zero to leave it as
	// it is.
	Host netip.Prefix
	// Queues is the number of pairs of queues; 0 means 1.
	Queues int
	// MTU of an interface that is made, 0 for the kernel's default of 1500.
	MTU uint16
}

// device is where tap interfaces are opened.
const device = "/dev/net/tun"

// nameSize is the room for a name and the byte behind it (linux if.h IFNAMSIZ).
const nameSize = unix.IFNAMSIZ

// Check returns what is wrong with c that can be seen without the host.
func (c *Config) Check() error {
	switch {
	case len(c.Name) >= nameSize:
		return fmt.Errorf("the name %q is longer than an interface's can be, which is %d bytes", c.Name, nameSize-1)
	case c.Queues < 0 || c.Queues > MaxPairs:
		return fmt.Errorf("queues must be from 1 to %d", MaxPairs)
	}
	return nil
}

// Open opens the interface, or makes it. Errors say what would set it up.
func Open(c Config) (_ *Tap, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c.Queues = max(c.Queues, 1)
	exists, err := c.find()
	if err != nil {
		return nil, err
	}
	t := &Tap{name: c.Name}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Close())
		}
	}()
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if c.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	for range c.Queues {
		err := t.addQueue(flags)
		if errors.Is(err, unix.EINVAL) && exists && c.Queues == 1 {
			err = t.addQueue(flags | unix.IFF_MULTI_QUEUE) // one that has several queues is opened as such
		}
		if err != nil {
			return nil, c.explain(err, exists)
		}
	}
	t.enabled = len(t.queues)
	return t, c.configure(t.name, exists)
}

// find looks whether the interface exists, and whether it is a tap.
func (c *Config) find() (exists bool, err error) {
	if c.Name == "" {
		return false, nil
	}
	link, err := netlink.LinkByName(c.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("tap %s: %w", c.Name, err)
	}
	if tap, ok := link.(*netlink.Tuntap); !ok {
		return false, fmt.Errorf("%s is no tap but an interface of type %s", c.Name, link.Type())
	} else if tap.Mode != netlink.TUNTAP_MODE_TAP {
		return false, fmt.Errorf("%s is a tun interface, which carries packets; a guest's frames need a tap", c.Name)
	}
	return true, nil
}

// addQueue opens one queue of the interface. If it has no name yet, the kernel
// gives it one.
func (t *Tap) addQueue(flags uint16) error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: device, Err: err}
	}
	r, err := unix.NewIfreq(t.name)
	if err == nil {
		r.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err == nil {
		t.name = r.Name()
		err = unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, net.HeaderSize)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	cancel, err := eventfd.New()
	if err != nil {
		unix.Close(fd)
		return err
	}
	q := &queue{fd: fd, cancel: cancel}
	q.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	q.poll[1] = unix.PollFd{Fd: int32(cancel.Int()), Events: unix.POLLIN}
	t.queues = append(t.queues, q)
	return nil
}

// configure sets up the host's end. One that was made is brought up.
func (c *Config) configure(name string, existed bool) error {
	if existed && !c.Host.IsValid() {
		return nil
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("tap %s: %w", name, err)
	}
	if !existed && c.MTU != 0 {
		if err := netlink.LinkSetMTU(link, int(c.MTU)); err != nil {
			return fmt.Errorf("tap %s: an MTU of %d: %w", name, c.MTU, err)
		}
	}
	if c.Host.IsValid() {
		addr, err := netlink.ParseAddr(c.Host.String())
		if err == nil {
			err = netlink.AddrReplace(link, addr)
		}
		if err != nil {
			return fmt.Errorf("tap %s: address %v: %w", name, c.Host, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("tap %s: up: %w", name, err)
	}
	return nil
}

// explain says in words why a queue could not be opened, and what would help.
func (c *Config) explain(err error, exists bool) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: the host's kernel has no tap interfaces; try: modprobe tun", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: the device is not for this user", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tap %s is in use by another program", c.Name)
	case errors.Is(err, unix.EPERM) && exists:
		return fmt.Errorf("tap %s belongs to another user; as root: ip tuntap del dev %[1]s mode tap; %s", c.Name, c.recipe())
	case errors.Is(err, unix.EPERM) && c.Name == "":
		return fmt.Errorf("making a tap interface needs CAP_NET_ADMIN; have one made and name it, as root: %s", c.recipe())
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("there is no tap %s, and making one needs CAP_NET_ADMIN; as root: %s", c.Name, c.recipe())
	case errors.Is(err, unix.EINVAL) && exists:
		return fmt.Errorf("tap %s has not the %d queues wanted; as root: ip tuntap del dev %[1]s mode tap; %[3]s", c.Name, c.Queues, c.recipe())
	}
	return fmt.Errorf("tap %s: %w", c.Name, err)
}

// recipe is the command that makes the interface for this user.
func (c *Config) recipe() string {
	name, owner, queues := c.Name, "$USER", ""
	if name == "" {
		name = "tap0"
	}
	if u, err := user.Current(); err == nil {
		owner = u.Username
	}
	if c.Queues > 1 {
		queues = " multi_queue"
	}
	return fmt.Sprintf("ip tuntap add dev %s mode tap user %s%s && ip link set %[1]s up", name, owner, queues)
}
