#!/bin/sh
# tools.sh installs the Debian packages that the Makefile's targets need and
# this machine lacks, as root or by sudo, and says which. It does nothing where
# all of them are there.
#
# tools.sh guest-kernel does so for what guestinit/kernel/build.sh needs, and
# tools.sh compare for what vmm compare compares.
#
# tools.sh real-kvm installs nothing: it succeeds if this host's KVM is real.
set -eu

# real_kvm has the conditions of kvmhost, which is not built yet when this is
# asked: the processor's flag, the module for that processor, and a /dev/kvm
# that this user may open.
real_kvm() {
	flags=$(sed -n '/^flags[[:space:]]*:/{s/$/ /p;q;}' /proc/cpuinfo)
	case $flags in
	*' vmx '*) module=kvm_intel ;;
	*' svm '*) module=kvm_amd ;;
	*) return 1 ;;
	esac
	# The shell makes what it opens for writing if it is not there.
	[ -d "/sys/module/$module" ] && [ -c /dev/kvm ] && (: <>/dev/kvm) 2>/dev/null
}

if [ "${1:-}" = real-kvm ]; then
	real_kvm
	exit
fi

want() { # want COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

want_header() { # want_header HEADER PACKAGE
	echo "#include <$1>" | gcc -E - >/dev/null 2>&1 || missing="$missing $2"
}

want_for_tests() {
	want git git
	want gcc gcc # the race detector is linked by it
	# gcc only recommends the C library's headers, which cgo needs.
	want_header stdlib.h libc6-dev
	want depmod kmod
	want iperf3 iperf3 # measures networks
	want iasl acpica-tools
	want qemu-img qemu-utils
	want mmdebstrap mmdebstrap
	want mke2fs e2fsprogs
	# Without them only root can unpack a system with its owners.
	[ "$(id -u)" = 0 ] || { want fakeroot fakeroot; want fakechroot fakechroot; }
	# A host whose KVM is real needs no emulated one.
	real_kvm || want qemu-system-x86_64 qemu-system-x86
}

want_for_guest_kernel() {
	want gcc gcc
	want_header stdlib.h libc6-dev
	want_header libelf.h libelf-dev
	want make make
	want flex flex
	want bison bison
	want bc bc
	want xz xz-utils
	want lz4 lz4
	ls /usr/src/linux-source-*.tar.xz >/dev/null 2>&1 || missing="$missing linux-source"
}

want_for_compare() {
	want bwrap bubblewrap
	want crun crun
	want runc runc
	want podman podman
	want conmon conmon
	want qemu-system-x86_64 qemu-system-x86
	want strace strace # finds the programs of an arm, and counts system calls where eBPF is not permitted
}

missing=
case ${1:-tests} in
tests) want_for_tests ;;
guest-kernel) want_for_guest_kernel ;;
compare) want_for_compare ;;
*) echo "usage: $0 [compare|guest-kernel|real-kvm]" >&2; exit 2 ;;
esac
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "needed, and only root can install it: apt-get install$missing" >&2; exit 1; }
	sudo=sudo
fi
echo "installing Debian packages:$missing"
# A mirror that renews one list of many, perhaps of another architecture, spoils the
# update. Only a package that is not found is a reason to stop. Another apt may be at work.
$sudo apt-get -qq -o Acquire::Retries=3 update || echo "some package lists are missing, going on with the rest" >&2
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install --no-install-recommends -y $missing >/dev/null
