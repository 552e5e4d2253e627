// Package net is the virtio network device (virtio-v1.2 §5.1): Ethernet frames
// between the driver's queues and a [Backend].
package net
