# tools.sh mounts the disk whose serial number is "tools", a Debian, on /mnt, from
# which "tool NAME ..." runs a program, and sets disk_test to the device of the
# disk whose serial number is "test".
for d in /sys/block/vd*; do
	case $(cat $d/serial) in
	tools) disk_tools=/dev/${d#/sys/block/} ;;
	test) disk_test=/dev/${d#/sys/block/} ;;
	esac
done
mount -t ext4 -o ro $disk_tools /mnt
mount -t devtmpfs dev /mnt/dev
mount -t proc proc /mnt/proc
mount -t sysfs sys /mnt/sys
mount -t tmpfs tmp /mnt/tmp
tool() { chroot /mnt /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
