#!/bin/sh
# build.sh DIR [VARIANT…]: builds a small kernel for guests from Debian's
# linux-source package and small.config, about five minutes of two processors.
#
# DIR/vmlinuz is the bzImage, DIR/vmlinux the same as an ELF with a PVH entry,
# DIR/config what it was configured with. The sources are unpacked and built in
# DIR.part, 2 GB, which is removed at the end. The same package and the same
# compiler make the same bytes. JOBS is how many compilers run at once, as many
# as there are processors by default.
#
# Each VARIANT is a file variants/VARIANT.config, whose settings take the place
# of those in small.config. It is built in DIR-VARIANT, from a copy of what was
# compiled for DIR, so that only what its options change is compiled anew: some
# seconds to five minutes.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 DIR [VARIANT…]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$(dirname "$1")"
dir=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$dir.part
shift
for variant; do
	[ -e "$here/variants/$variant.config" ] || { echo "$0: no $here/variants/$variant.config" >&2; exit 2; }
done

# The newest that is there; Debian's package puts it in /usr/src.
archive=$(ls /usr/src/linux-source-*.tar.xz 2>/dev/null | sort -V | tail -n 1)
[ -n "$archive" ] || { echo "$0: no /usr/src/linux-source-*.tar.xz: apt-get install linux-source" >&2; exit 1; }

# The compiler's host, user and time would be in the image.
kernel_make() {
	make -s -C "$work/src" O="$work/build" ARCH=x86_64 \
		KBUILD_BUILD_TIMESTAMP="$(date -u -R -r "$archive")" KBUILD_BUILD_USER=vmm KBUILD_BUILD_HOST=vmm KBUILD_BUILD_VERSION=1 "$@"
}

# configure NAME FRAGMENT… configures NAME. A later fragment's word counts.
configure() {
	name=$1
	shift
	awk '/^CONFIG_/ || /^# CONFIG_[A-Z0-9_]* is not set$/ {
			option = $0
			sub(/^# /, "", option)
			sub(/[= ].*/, "", option)
			settings[option] = $0
		}
		END { for (option in settings) print settings[option] }' "$@" | sort >"$work/fragment"
	kernel_make KCONFIG_ALLCONFIG="$work/fragment" allnoconfig
	# Make says nothing of an option that it does not know, or that another
	# forbids or wants.
	refused=$(
		grep '^CONFIG_' "$work/fragment" | grep -vxFf "$work/build/.config" || true
		sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set$/^\1=/p' "$work/fragment" | grep -f - "$work/build/.config" || true
	)
	[ -z "$refused" ] || { echo "$0: this kernel does not take for $name:" "$refused" >&2; exit 1; }
}

# build DIR builds what is configured, in DIR.
build() {
	echo "building Linux $(kernel_make kernelrelease) for $(basename "$1")"
	rm -rf "$work/done"
	mkdir "$work/done"
	kernel_make -j"${JOBS:-$(nproc)}" bzImage
	cp "$work/build/arch/x86/boot/bzImage" "$work/done/vmlinuz"
	strip -o "$work/done/vmlinux" "$work/build/vmlinux"
	cp "$work/build/.config" "$work/done/config"
	rm -rf "$1"
	mv "$work/done" "$1"
}

rm -rf "$work"
mkdir -p "$work/src" "$work/build"
echo "unpacking $archive in $work"
tar -C "$work/src" --strip-components 1 -xf "$archive"

# Nothing is compiled for hours before a fragment is found to be wrong.
for variant; do
	configure "$variant" "$here/small.config" "$here/variants/$variant.config"
done
configure small "$here/small.config"
build "$dir"
[ $# = 0 ] || mv "$work/build" "$work/plain"
for variant; do
	rm -rf "$work/build"
	cp -a "$work/plain" "$work/build"
	configure "$variant" "$here/small.config" "$here/variants/$variant.config"
	build "$dir-$variant"
done
rm -rf "$work"
ls -l "$dir"
for variant; do
	ls -l "$dir-$variant/vmlinuz"
done
