#!/bin/sh
# tools.sh installs the Debian packages that the Makefile's targets need and
# this machine lacks, as root or by sudo, and says which. It does nothing where
# all of them are there.
set -eu

want() { # want COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

missing=
want git git
want gcc gcc # the race detector is linked by it
want depmod kmod
want iasl acpica-tools
# A host whose processor has VMX or SVM, and a /dev/kvm that this user may
# open, needs no emulated one.
if ! grep -Eqw 'vmx|svm' /proc/cpuinfo || ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ]; then
	want qemu-system-x86_64 qemu-system-x86
fi
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "needed, and only root can install it: apt-get install$missing" >&2; exit 1; }
	sudo=sudo
fi
echo "installing Debian packages:$missing"
$sudo apt-get -qq update
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $missing >/dev/null
