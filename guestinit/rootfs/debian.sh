#!/bin/sh
# debian.sh IMAGE KERNEL: makes IMAGE, a disk with a Debian of this host's
# release that boots by systemd to a login prompt.
#
# IMAGE is a raw disk with an ext4 file system and no partitions, to be the
# guest's root=/dev/vda. KERNEL is a directory that kernel/debian.sh has made: its
# modules come with the system, the kernel itself does not. There are the tools
# that tests of disks and networks need. Root logs in without a password on each
# console, and nothing waits for a network or runs by itself.
#
# Debian's packages come from this host's sources. Nothing is mounted here, and
# neither root nor sudo is needed.
set -eu

[ $# = 2 ] || { echo "usage: $0 IMAGE KERNEL" >&2; exit 2; }
image=$1
modules=$2/lib/modules
[ -d "$modules" ] || { echo "$0: $modules is not there: no kernel of kernel/debian.sh" >&2; exit 1; }

packages=systemd,systemd-sysv,dbus,udev,kmod,util-linux,e2fsprogs,procps
packages=$packages,iproute2,iputils-ping,isc-dhcp-client,curl,socat
packages=$packages,fio,iperf3,rng-tools5

PATH=$PATH:/usr/sbin:/sbin # mke2fs is there

work=$image.part
rm -rf "$work"
mkdir -p "$work/root"

# Debian's own among this host's sources.
apt-get indextargets --format \
	'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' 'Origin: Debian' 'Architecture: amd64' >"$work/sources.list"
[ -s "$work/sources.list" ] || { echo "$0: this host has no package lists of Debian's: apt-get update brings them" >&2; exit 1; }

echo "installing Debian's packages in $work"
# The same option, in the system, keeps it small when packages are added to it.
mmdebstrap --quiet --variant=minbase --architectures=amd64 --aptopt='Acquire::Retries "3"' --include="$packages" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	'' "$work/root.tar" "$work/sources.list"

# The image has the owners and devices that the archive has, which takes root, or
# who believes to be.
as_root=
[ "$(id -u)" = 0 ] || as_root=fakeroot
echo "making $image"
$as_root sh -eu -s -- "$work" "$modules" <<'END'
modules=$(cd "$2" && pwd)
cd "$1/root"
tar -xpf ../root.tar
cp -a --no-preserve=ownership "$modules" usr/lib/

sed -i 's/^root:[^:]*:/root::/' etc/shadow
echo debian >etc/hostname
printf '127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n' >etc/hosts
echo '/dev/vda / ext4 errors=remount-ro 0 0' >etc/fstab
: >etc/machine-id # each guest makes one of its own
: >etc/resolv.conf # it was the host's; dhclient writes the guest's
ln -s /dev/null etc/systemd/network/99-default.link # interfaces stay eth0, eth1

# What runs by itself disturbs who measures. rngd would fail where there is no
# /dev/hwrng.
rm -r etc/systemd/system/timers.target.wants
rm etc/systemd/system/multi-user.target.wants/rngd.service
rm etc/systemd/system/multi-user.target.wants/e2scrub_reap.service

# More than half of it is free. The tables are complete from the start: else a
# thread of the guest's kernel writes them while somebody measures.
truncate -s 1G ../disk
mke2fs -q -t ext4 -m 0 -L debian -E lazy_itable_init=0,lazy_journal_init=0 -d . ../disk
END
mv "$work/disk" "$image"
rm -rf "$work"
