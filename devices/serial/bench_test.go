package serial_test

import "testing"

// BenchmarkSend is the cost to a vCPU of one byte of console output: a read of
// LSR and a write to THR.
func BenchmarkSend(b *testing.B) {
	p, _ := newPort()
	start(b, p.UART)
	var status [1]byte
	data := []byte{'x'}
	for b.Loop() {
		p.ReadIO(lsr, status[:])
		p.WriteIO(tx, data)
	}
}
