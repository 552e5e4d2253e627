# net.sh measures the network to an iperf3 server at address $1 from address $2,
# which is its own, or "dhcp". It prints lines "RESULT NAME VALUE": bits a second
# to and from the server, and round trips of ICMP echo a second.
. /bench/tools.sh
eth() { chroot /mnt "$@"; }
eth ip link set eth0 up
if [ $2 = dhcp ]; then
	eth ip addr add 10.0.2.15/24 dev eth0
	eth ip route add default via 10.0.2.2
else
	eth ip addr add $2/24 dev eth0
fi
for direction in to from; do
	reverse=
	[ $direction = from ] && reverse=-R
	eth iperf3 -c $1 -t 4 -O 1 -f k $reverse > /tmp/iperf
	echo RESULT $direction $(eth awk '/receiver/ { print $7 * 1000 }' < /tmp/iperf)
done
eth ping -q -f -c 2000 $3 > /tmp/ping
echo RESULT roundtrips $(eth awk -F'[ /]' '/^rtt/ { print 1000 / $8 }' < /tmp/ping)
