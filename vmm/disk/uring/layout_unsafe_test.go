package uring

import (
	"testing"
	"unsafe"
)

// Sizes and offsets are those of linux/io_uring.h.
func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want uintptr
	}{
		{"sizeof(struct io_uring_params)", unsafe.Sizeof(params{}), 120},
		{"io_uring_params.features", unsafe.Offsetof(params{}.features), 20},
		{"io_uring_params.sq_off", unsafe.Offsetof(params{}.sqOff), 40},
		{"io_uring_params.cq_off", unsafe.Offsetof(params{}.cqOff), 80},
		{"io_sqring_offsets.array", unsafe.Offsetof(sqOffsets{}.array), 24},
		{"io_cqring_offsets.cqes", unsafe.Offsetof(cqOffsets{}.cqes), 20},
		{"sizeof(struct io_uring_sqe)", unsafe.Sizeof(sqe{}), 64},
		{"io_uring_sqe.fd", unsafe.Offsetof(sqe{}.fd), 4},
		{"io_uring_sqe.off", unsafe.Offsetof(sqe{}.off), 8},
		{"io_uring_sqe.addr", unsafe.Offsetof(sqe{}.addr), 16},
		{"io_uring_sqe.len", unsafe.Offsetof(sqe{}.len), 24},
		{"io_uring_sqe.rw_flags", unsafe.Offsetof(sqe{}.opFlags), 28},
		{"io_uring_sqe.user_data", unsafe.Offsetof(sqe{}.userData), 32},
		{"sizeof(struct io_uring_cqe)", unsafe.Sizeof(cqe{}), 16},
		{"io_uring_cqe.res", unsafe.Offsetof(cqe{}.res), 8},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %d, want %d", tt.name, tt.got, tt.want)
		}
	}
}
