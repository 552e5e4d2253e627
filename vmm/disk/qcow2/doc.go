// Package qcow2 reads and writes disk images in QEMU's qcow2 format, of versions
// 2 and 3 (QEMU docs/interop/qcow2: what is in double quotes in the comments here
// is its words).
//
// An image maps the disk's clusters, of 512 bytes to 2 MiB, to clusters of the
// file, by a table of tables. A cluster that is not mapped is read from the
// backing file, another image, and so on down the chain:
//
//	L1 table            L2 table               the file's clusters
//	+---------+         +-----------------+
//	|    ·----+-------> | offset        ·-+--> data
//	| 0       |         | zero flag       |    (zeros)
//	+---------+         | 0               |    (the backing file, or zeros)
//	                    | compressed    ·-+--> deflate or zstd
//	                    +-----------------+
//
// All of deflate and zstd compression, zero clusters, extended L2 entries
// (subclusters) and every width of refcounts is read. Refused, by name, are
// encrypted images, external data files, and incompatible features that are
// unknown. Internal snapshots and bitmaps are not looked at.
//
// # Writing
//
// Clusters that the image has to itself are written in place. Everything else
// goes to new clusters: the changed tables stay in memory until a flush, which
// brings them into the file in such an order that the image is right at each
// moment (see commit). A flush that returned survives the end of the process and
// a loss of power; of what was written later any part may be lost, as of a disk
// with a volatile cache. A device whose guest does not flush must.
//
// Snapshots stay as they are. Images that are marked as dirty or corrupt, that
// have extended L2 entries, whose bitmaps a write would make wrong, or whose
// refcounts miss a table are read and not written. A caller locks the file
// against other writers, in Options.OpenFile.
//
// # What an image may do
//
// Nothing in the file is trusted. Each offset, length and flag is checked where
// it is used; what is wrong is an error, at Open if it is in the header, or
// else of the read that meets it. Memory is bounded whatever the file says:
// by maxL1Chain for the L1 tables and cacheSize for everything else that is
// kept, and by a few clusters a reader. Tables that overlap one another, or
// data, only make the image's own contents nonsense.
//
// What an image does decide is which files of the host are read: its backing
// file is any path that the user may open. An image from a stranger should be
// looked at with "qemu-img info" first.
//
// # The format of a backing file
//
// An image should say whether its backing file is raw or qcow2. To guess by the
// first bytes is not safe: what was a guest's raw disk could begin with a header
// that the guest wrote, and name any file of the host. So a backing file of no
// stated format is taken as raw, and refused if it begins as qcow2 does.
package qcow2
