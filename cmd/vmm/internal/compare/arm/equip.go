package arm

// An Equipper is a Prepared whose instances can be given more than a root
// directory. What is not asked for, no instance has: it would cost time at each
// start.
type Equipper interface {
	Prepared
	// Equip returns a Prepared like this one, whose instances have x as well, and
	// how the payload gets at it. It needs no Close of its own, and can be
	// equipped further. Equip changes nothing on the host. An error says what the
	// arm cannot give here.
	Equip(x Extras) (Prepared, Access, error)
}

// Extras are what an instance is given on request.
type Extras struct {
	Network bool   // a way to servers on the host, such as this arm's users have
	File    string // a file of the host that the payload may read
}

// An Access is how the payload gets at its extras.
type Access struct {
	Network string // what kind of network it is: "host", "veth", "user", "tap"
	Host    string // the host's address in it, an IPv4 address
	Listen  string // the address at which a server on the host is reached by way of Host
	// Address is what the payload must give the interface first, as ADDRESS/BITS
	// by its mode "address". "" if it has one.
	Address string
	File    string // the file's path in the instance, or that of the block device which it is there
	FileAs  string // what carries its reads: "file", "bind mount", "virtio-blk"
}
