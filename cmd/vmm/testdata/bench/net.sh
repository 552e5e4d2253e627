# net.sh measures the network to an iperf3 server at address $1 from address $2,
# which is its own, of a network of 256. It prints lines "RESULT NAME VALUE": bits
# a second to the server and from it, and round trips of ICMP echo a second.
. /bench/tools.sh
tool ip link set eth0 up
tool ip addr add $2/24 dev eth0
for direction in to from; do
	reverse=
	[ $direction = from ] && reverse=-R
	tool iperf3 -c $1 -t 4 -O 1 -f k $reverse > /tmp/iperf
	echo RESULT $direction $(tool awk '/receiver/ { print $7 * 1000 }' < /tmp/iperf)
done
tool ping -q -f -c 2000 $1 > /tmp/ping
echo RESULT roundtrips $(tool awk -F'[ /]' '/^rtt/ { print 1000 / $8 }' < /tmp/ping)
