# disk.sh measures the first 128 MiB of the test disk with fio and prints a line "RESULT
# WORKLOAD IOPS" for each of its arguments, which are workloads: PATTERN:BLOCKSIZE:DEPTH.
# Before each it leaves time to stop the guest.
. /bench/tools.sh
echo RESULT ready 1
for workload in "$@"; do
	tool sleep 2
	pattern=${workload%%:*}
	rest=${workload#*:}
	tool fio --minimal --name=$workload --filename=$disk_test --size=128m --rw=$pattern --bs=${rest%:*} --iodepth=${rest#*:} \
		--ioengine=libaio --direct=1 --randrepeat=1 --time_based --ramp_time=500ms --runtime=3 > /tmp/fio
	# Version 3 of the terse format: field 8 has the reads a second, 49 the writes.
	echo RESULT $workload $(tool awk -F';' '{ print $8 + $49 }' < /tmp/fio)
done
