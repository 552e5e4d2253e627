package kvm

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// statsFile builds a statistics file with names of 16 bytes.
func statsFile(descriptors []byte, values ...uint64) []byte {
	const nameSize = 16
	f := binary.LittleEndian.AppendUint32(nil, 0)
	f = binary.LittleEndian.AppendUint32(f, nameSize)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(descriptors)/(statsDescSize+nameSize)))
	f = binary.LittleEndian.AppendUint32(f, statsHeaderSize)
	f = binary.LittleEndian.AppendUint32(f, statsHeaderSize+nameSize)
	f = binary.LittleEndian.AppendUint32(f, uint32(statsHeaderSize+nameSize+len(descriptors)))
	f = append(f, "kvm-1/vcpu-0\x00\x00\x00\x00"...)
	f = append(f, descriptors...)
	for _, v := range values {
		f = binary.LittleEndian.AppendUint64(f, v)
	}
	return f
}

// descriptor is one entry of the file's table.
func descriptor(flags, offset uint32, name string) []byte {
	d := binary.LittleEndian.AppendUint32(nil, flags)
	d = append(d, 0, 0, 1, 0) // exponent 0, one value
	d = binary.LittleEndian.AppendUint32(d, offset)
	d = binary.LittleEndian.AppendUint32(d, 0)
	return append(d, append([]byte(name), make([]byte, 16-len(name))...)...)
}

func TestReadStats(t *testing.T) {
	table := append(descriptor(0, 8, "exits"), descriptor(3, 0, "histogram")...)
	table = append(table, descriptor(0x12, 0, "peak")...)
	got, err := readStats(bytes.NewReader(statsFile(table, 5, 77)))
	want := []Stat{{"exits", 77}, {"peak", 5}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, error %v; want %v", got, err, want)
	}
}

func TestReadStatsRefuses(t *testing.T) {
	whole := statsFile(descriptor(0, 0, "exits"), 1)
	huge := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(huge[8:], 1<<30)
	for name, file := range map[string][]byte{
		"nothing": nil, "a short header": whole[:20], "a short table": whole[:50], "no value": whole[:len(whole)-1], "a huge count": huge,
	} {
		if stats, err := readStats(bytes.NewReader(file)); err == nil {
			t.Errorf("%s: got %v and no error", name, stats)
		}
	}
}
