// Package initramfs builds the archive that the guest starts from, on the host.
// Package guestinit tells what is in it. It also builds the payload of
// comparisons, which runs elsewhere as well.
//
// Process 1 is built from this project's source tree by the go command, and
// u-root's commands and the shell by u-root's makebb, as one program with many
// names. Their sources come from Go's module cache: once the modules are
// downloaded (go mod download) no network is needed. tools.go keeps them in
// go.mod. The default archive takes some 25 s on two free cores and has
// 14 MB and up to 4 MB for the modules of a kernel, a minimal one takes half a
// second and has 1.7 MB.
package initramfs
