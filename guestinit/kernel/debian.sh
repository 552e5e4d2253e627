#!/bin/sh
# debian.sh DIR [VARIANT…]: brings Debian's kernels, as they are, to DIR.
#
# Each VARIANT becomes DIR/VARIANT/ with boot/vmlinuz-* and lib/modules/*, and
# the links DIR/VARIANT/vmlinuz and DIR/VARIANT/modules. The packages are
# downloaded and unpacked, not installed: a guest's kernel has no business among
# the kernels that this host may boot, and neither root nor sudo is needed. Apt
# works on package lists of its own in DIR/.apt, with this host's sources and
# keys. A variant that is already there is left alone.
set -eu

usage() {
	echo "usage: $0 DIR [cloud|generic|cloud-6.12|generic-6.12|i386 …]" >&2
	exit 2
}

# package VARIANT prints the meta-package that depends on the newest kernel.
package() {
	case $1 in
	cloud) echo linux-image-cloud-amd64 ;;
	generic) echo linux-image-amd64 ;;
	cloud-6.12) echo linux-image-6.12-cloud-amd64 ;;
	generic-6.12) echo linux-image-6.12-amd64 ;;
	i386) echo linux-image-686 ;;
	*) return 1 ;;
	esac
}

# architecture VARIANT prints the package's architecture in Debian's words.
architecture() {
	case $1 in i386) echo i386 ;; *) echo amd64 ;; esac
}

[ $# -ge 1 ] || usage
dir=$1
shift
[ $# -ge 1 ] || set -- cloud
for variant; do
	package "$variant" >/dev/null || { echo "$0: no variant $variant" >&2; usage; }
done
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# private_apt TOOL ARGUMENT… runs an apt tool for $arch alone. Each architecture
# has lists of its own: a mirror whose list of one is being renewed spoils the
# update of all.
private_apt() {
	tool=$1
	shift
	"$tool" -o Dir::State="$dir/.apt/$arch/state" -o Dir::Cache="$dir/.apt/$arch/cache" \
		-o Dir::State::status=/dev/null -o Debug::NoLocking=true \
		-o APT::Architecture="$arch" -o APT::Architectures::="$arch" \
		-o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# update brings the package lists of $arch, once a run.
update() {
	case " ${updated:-} " in *" $arch "*) return 0 ;; esac
	updated="${updated:-} $arch"
	mkdir -p "$dir/.apt/$arch/state/lists/partial" "$dir/.apt/$arch/cache/archives/partial"
	echo "reading Debian's package lists for $arch (into $dir/.apt)"
	for try in 1 2 3; do
		# By itself update succeeds when it cannot reach a mirror.
		private_apt apt-get -qq --error-on=any update 2>"$dir/.apt/$arch/errors" && return 0
		sleep $((try * 5))
	done
	# A mirror that lacks one list of many is no reason to stop here: a
	# package that is not found is, and then the errors are shown.
	echo "$0: some lists are missing, going on with the rest" >&2
}

# image META prints the package of the kernel itself that META depends on.
image() {
	private_apt apt-cache depends --important "$1" |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^: ]*\).*/\1/p' | head -n 1
}

fetch() {
	variant=$1
	arch=$(architecture "$variant")
	update
	image=$(image "$(package "$variant")")
	if [ -z "$image" ]; then
		cat "$dir/.apt/$arch/errors" >&2
		echo "$0: $(package "$variant") is not in this host's Debian sources (/etc/apt)" >&2
		exit 1
	fi
	echo "downloading $image, to unpack in $dir/$variant"
	work=$dir/.$variant.part
	rm -rf "$work"
	mkdir -p "$work/root"
	(cd "$work" && private_apt apt-get -qq download "$image")
	dpkg-deb -x "$work"/*.deb "$work/root"
	version=$(basename "$work"/root/lib/modules/*)
	ln -s "boot/vmlinuz-$version" "$work/root/vmlinuz"
	ln -s "lib/modules/$version" "$work/root/modules"
	/sbin/depmod -b "$work/root" "$version"
	rm -rf "${dir:?}/$variant"
	mv "$work/root" "$dir/$variant"
	rm -rf "$work"
}

# One at a time: make -j starts one for each variant, and they share DIR/.apt.
exec 9>"$dir/.lock"
flock 9

for variant; do
	[ -e "$dir/$variant/vmlinuz" ] || fetch "$variant"
done
