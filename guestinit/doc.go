// Package guestinit is the guest's own system. Its constants are what process
// 1 and the builder of the initramfs agree on.
package guestinit
