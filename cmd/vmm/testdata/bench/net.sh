# net.sh measures the network to an iperf3 server at address $1 from address $2,
# which is its own, of a network of 256. It prints a line "RESULT WORKLOAD VALUE" for each
# further argument, which are workloads: "to" and "from" give bits a second to the
# server and from it, "roundtrips" round trips of ICMP echo a second. Before each it
# leaves time to stop the guest.
. /bench/tools.sh
server=$1
tool ip link set eth0 up
tool ip addr add $2/24 dev eth0
shift 2

# throughput runs iperf3 with further flags.
throughput() {
	tool iperf3 -c $server -t 3 -O 1 -f k "$@" > /tmp/iperf
	tool awk '/receiver/ { print $7 * 1000 }' < /tmp/iperf
}

# roundtrips floods, in the word of ping(8): each echo when the one before is answered.
roundtrips() {
	tool ping -q -f -w 4 $server > /tmp/ping
	tool awk -F'[ /]' '/^rtt/ { print 1000 / $8 }' < /tmp/ping
}

echo RESULT ready 1
for workload in "$@"; do
	tool sleep 2
	case $workload in
	to) value=$(throughput) ;;
	from) value=$(throughput -R) ;;
	roundtrips) value=$(roundtrips) ;;
	esac
	echo RESULT $workload $value
done
