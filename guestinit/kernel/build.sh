#!/bin/sh
# build.sh DIR: builds a small kernel for guests from Debian's linux-source
# package and small.config, about five minutes of two processors.
#
# DIR/vmlinuz is the bzImage, DIR/vmlinux the same as an ELF with a PVH entry,
# DIR/config what it was configured with. The sources are unpacked and built in
# DIR.part, 2 GB, which is removed at the end. The same package and the same
# compiler make the same bytes. JOBS is how many compilers run at once, as many
# as there are processors by default.
set -eu

[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
fragment=$(cd "$(dirname "$0")" && pwd)/small.config
mkdir -p "$(dirname "$1")"
dir=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$dir.part

# The newest that is there; Debian's package puts it in /usr/src.
archive=$(ls /usr/src/linux-source-*.tar.xz 2>/dev/null | sort -V | tail -n 1)
[ -n "$archive" ] || { echo "$0: no /usr/src/linux-source-*.tar.xz: apt-get install linux-source" >&2; exit 1; }

rm -rf "$work"
mkdir -p "$work/src" "$work/build" "$work/done"
echo "unpacking $archive in $work"
tar -C "$work/src" --strip-components 1 -xf "$archive"

# The compiler's host, user and time would be in the image.
kernel_make() {
	make -s -C "$work/src" O="$work/build" ARCH=x86_64 \
		KBUILD_BUILD_TIMESTAMP="$(date -u -R -r "$archive")" KBUILD_BUILD_USER=vmm KBUILD_BUILD_HOST=vmm KBUILD_BUILD_VERSION=1 "$@"
}

kernel_make KCONFIG_ALLCONFIG="$fragment" allnoconfig
# Make says nothing of an option that it does not know, or that another forbids.
missing=$(grep '^CONFIG_' "$fragment" | grep -vxFf "$work/build/.config" || true)
[ -z "$missing" ] || { echo "$0: this kernel does not take from $fragment:" "$missing" >&2; exit 1; }

echo "building Linux $(kernel_make kernelrelease)"
kernel_make -j"${JOBS:-$(nproc)}" bzImage
cp "$work/build/arch/x86/boot/bzImage" "$work/done/vmlinuz"
strip -o "$work/done/vmlinux" "$work/build/vmlinux"
cp "$work/build/.config" "$work/done/config"
rm -rf "$dir"
mv "$work/done" "$dir"
rm -rf "$work"
ls -l "$dir"
