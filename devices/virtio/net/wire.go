package net

import "microvm/devices/virtio"

// Features of a network device (virtio-v1.2 §5.1.3).
const (
	FeatureCsum              virtio.Features = 1 << 0  // VIRTIO_NET_F_CSUM: sent frames may leave the checksum to the device
	FeatureGuestCsum         virtio.Features = 1 << 1  // VIRTIO_NET_F_GUEST_CSUM: received frames may leave it to the driver
	FeatureCtrlGuestOffloads virtio.Features = 1 << 2  // VIRTIO_NET_F_CTRL_GUEST_OFFLOADS: the driver may change its mind about the GUEST features
	FeatureMTU               virtio.Features = 1 << 3  // VIRTIO_NET_F_MTU: mtu is in the configuration
	FeatureMAC               virtio.Features = 1 << 5  // VIRTIO_NET_F_MAC: mac is in the configuration
	FeatureGuestTSO4         virtio.Features = 1 << 7  // VIRTIO_NET_F_GUEST_TSO4: received frames may be unsegmented TCP over IPv4
	FeatureGuestTSO6         virtio.Features = 1 << 8  // VIRTIO_NET_F_GUEST_TSO6: the same over IPv6
	FeatureGuestECN          virtio.Features = 1 << 9  // VIRTIO_NET_F_GUEST_ECN: the same with ECN
	FeatureHostTSO4          virtio.Features = 1 << 11 // VIRTIO_NET_F_HOST_TSO4: sent frames may be unsegmented TCP over IPv4
	FeatureHostTSO6          virtio.Features = 1 << 12 // VIRTIO_NET_F_HOST_TSO6: the same over IPv6
	FeatureHostECN           virtio.Features = 1 << 13 // VIRTIO_NET_F_HOST_ECN: the same with ECN
	FeatureMrgRxbuf          virtio.Features = 1 << 15 // VIRTIO_NET_F_MRG_RXBUF: a received frame may be in several chains
	FeatureStatus            virtio.Features = 1 << 16 // VIRTIO_NET_F_STATUS: status is in the configuration
	FeatureCtrlVQ            virtio.Features = 1 << 17 // VIRTIO_NET_F_CTRL_VQ: there is a control queue
	FeatureMQ                virtio.Features = 1 << 22 // VIRTIO_NET_F_MQ: there are several pairs of queues
)

// Sizes in bytes.
const (
	// HeaderSize is that of struct virtio_net_hdr, num_buffers included
	// (virtio-v1.2 §5.1.6: a device that is not legacy has no shorter one).
	HeaderSize = 12
	// EthernetSize is that of an Ethernet header with one VLAN tag (IEEE
	// 802.1Q).
	EthernetSize = 14 + 4
	// minFrame is that of a frame of nothing but an Ethernet header.
	minFrame = 14
	// MaxFrame is that of the largest frame: an IPv6 header is not counted in
	// the 65535 bytes of its payload (RFC 8200 §3).
	MaxFrame = EthernetSize + 40 + 65535
)

// Fields of the header by their offset (virtio-v1.2 §5.1.6), little-endian.
const (
	HeaderFlags      = 0  // u8: HeaderNeedsCsum, HeaderDataValid
	HeaderGSOType    = 1  // u8: GSONone …
	HeaderHdrLen     = 2  // u16: length of the headers before the data, a hint
	HeaderGSOSize    = 4  // u16: bytes of data a segment
	HeaderCsumStart  = 6  // u16: where in the frame the checksum begins
	HeaderCsumOffset = 8  // u16: where behind csum_start it is stored, in 2 bytes
	HeaderNumBuffers = 10 // u16: chains that a received frame is in
)

// Values of flags and gso_type (virtio-v1.2 §5.1.6).
const (
	HeaderNeedsCsum = 1    // VIRTIO_NET_HDR_F_NEEDS_CSUM: the checksum is not complete
	HeaderDataValid = 2    // VIRTIO_NET_HDR_F_DATA_VALID: it has been checked
	GSONone         = 0    // VIRTIO_NET_HDR_GSO_NONE
	GSOTCPv4        = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	GSOTCPv6        = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	GSOECN          = 0x80 // VIRTIO_NET_HDR_GSO_ECN: a bit besides the type
)

// Fields of the configuration space by their offset (virtio-v1.2 §5.1.4),
// little-endian, read-only.
const (
	configMAC      = 0  // u8[6]
	configStatus   = 6  // u16: statusLinkUp
	configMaxPairs = 8  // u16: pairs of queues
	configMTU      = 10 // u16: bytes of a packet without its Ethernet header
	configSize     = 12

	statusLinkUp = 1 // VIRTIO_NET_S_LINK_UP
)

// Limits of mtu in bytes (virtio-v1.2 §5.1.4.1).
const (
	MinMTU = 68
	MaxMTU = 65535
)

// A command on the control queue (virtio-v1.2 §5.1.6.5): class, command, what
// is specific to it; the device answers with one byte.
const (
	ctrlHeader = 2 // class, command
	ackOK      = 0 // VIRTIO_NET_OK
	ackErr     = 1 // VIRTIO_NET_ERR

	classMQ       = 4 // VIRTIO_NET_CTRL_MQ
	mqPairsSet    = 0 // VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET: u16, pairs to use
	classOffloads = 5 // VIRTIO_NET_CTRL_GUEST_OFFLOADS
	offloadsSet   = 0 // VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET: u64, feature bits

	maxCtrlData = 8 // bytes specific to a command that the device knows
)
