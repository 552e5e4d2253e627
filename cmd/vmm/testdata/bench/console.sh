# console.sh writes 64 KiB of lines to the virtio console, and prints a line "RESULT
# console BYTES", which is how many that is a second.
. /bench/tools.sh
size=65536
tool sh -c "yes fifteen letters | head -c $size" > /tmp/lines
now() { tool cut -d' ' -f1 /proc/uptime; }
began=$(now)
cat /tmp/lines > /dev/hvc0
echo RESULT console $(tool awk "BEGIN { print $size / ($(now) - $began) }")
