package protocol

// The modes of the payload, which are its first argument, and the metrics of
// what each says.
const (
	// ModeStart does nothing between the two marks.
	ModeStart = "start"

	// ModeHold waits for the end of its standard input.
	ModeHold = "hold"
	Waits    = "waits" // text, as soon as it does: what for

	// ModeSyscalls does the cheapest system call.
	ModeSyscalls = "syscalls"
	SystemCall   = "system-call" // 1/s, of getppid(2)

	// ModeFaults writes to pages of 4 KiB that the process has not got yet.
	ModeFaults     = "faults"
	FirstPageFault = "first-page-fault" // 1/s, of memory that this process has not had before
	PageFault      = "page-fault"       // 1/s, of memory that it gives back and takes again

	// ModeRead, with a file or block device, reads 4 KiB at random places.
	ModeRead = "read"
	Read     = "read"      // 1/s
	ReadFrom = "read-from" // text: "device", or "page-cache" where the file system reads no other way

	// ModeAddress, with ADDRESS/BITS, gives the only network interface an IPv4
	// address.
	ModeAddress = "address"

	// ModeRoundTrip, with HOST:PORT, sends a message of MessageSize bytes and
	// waits for as many. The peer sends back what it gets.
	ModeRoundTrip = "roundtrip"
	RoundTrip     = "round-trip" // 1/s

	// ModeStream, with HOST:PORT and a direction, moves bytes over one
	// connection. With StreamTo the peer reads to the end and closes, which stops
	// the clock; with StreamFrom it writes until the connection is closed.
	ModeStream   = "stream"
	StreamTo     = "to"
	StreamFrom   = "from"
	StreamedTo   = "stream-to"   // B/s
	StreamedFrom = "stream-from" // B/s

	// ModeWork works a moment for each line of its standard input, to the end of
	// that: in registers, and in memory many times the size of the caches for
	// translations of addresses, in pages of 4 KiB. It says Waits, once, when it is
	// ready for the first line.
	ModeWork     = "work"
	CPU          = "cpu"           // 1/s, of a hash function's rounds
	MemoryAccess = "memory-access" // 1/s, of reads that each wait for the one before
	MemoryCopy   = "memory-copy"   // B/s

	// ModeIdentity says which kernel and which machine the payload sees.
	ModeIdentity = "identity"
	SystemName   = "system-name"  // text, of uname(2), as the next four
	HostName     = "host-name"    //
	Release      = "release"      //
	Version      = "version"      //
	Machine      = "machine"      //
	ProcVersion  = "proc-version" // text: /proc/version
	PID          = "pid"          // 1: the payload's own
	Processes    = "processes"    // 1: how many /proc shows

	// ModeReach says what of the world the payload can see.
	ModeReach         = "reach"
	Files             = "files"              // 1: in the tree of its root, at most MaxFiles
	Devices           = "devices"            // 1: device files below /dev
	BlockDevices      = "block-devices"      // 1: in /sys/class/block
	NetworkInterfaces = "network-interfaces" // 1: in /sys/class/net
	Mounts            = "mounts"             // 1: in /proc/self/mounts
	Namespace         = "namespace"          // text: of each kind, as /proc/self/ns has it
	Capabilities      = "capabilities"       // 1: how many are effective
	Seccomp           = "seccomp"            // 1: 0 none, 1 strict, 2 filters (proc(5) Seccomp)
	NoNewPrivileges   = "no-new-privileges"  // 1: 1 if set

	// ModeHash, with a directory, reads all of a tree.
	ModeHash = "hash"
	Tree     = "tree"       // text: SHA-256 of names, kinds and contents
	HashSize = "hash-bytes" // B: of all files in it
	HashFile = "hash-files" // 1

	// ModeKernelMemory says what the kernel that the payload runs on says of its
	// memory (proc_meminfo(5)).
	ModeKernelMemory = "kernel-memory"
	KernelMemory     = "kernel-memory"      // B: MemTotal
	KernelMemoryUsed = "kernel-memory-used" // B: MemTotal without MemAvailable

	// ModeExec runs a command to its end: its path and arguments follow, to the end
	// of the payload's.
	ModeExec = "exec"
)

// Then is the argument between a mode with its arguments and the next mode, so
// that one start of the payload is enough for many.
const Then = ","

// MessageSize is the size of a RoundTrip's message in bytes.
const MessageSize = 64

// MaxFiles is where the count of Files stops: a host has millions, and counting
// them takes longer than anything that is to be learned from it.
const MaxFiles = 20_000
