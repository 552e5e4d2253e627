package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"microvm/guestinit/payload/protocol"
)

// read reads blocks of a file or a block device at random places.
func read(name string) error {
	f, from, err := openDirect(name)
	if err != nil {
		return err
	}
	defer f.Close()
	blocks, err := blocks(f)
	if err != nil {
		return err
	}
	block, err := newRegion(pageSize) // O_DIRECT wants it aligned
	if err != nil {
		return err
	}
	text(protocol.ReadFrom, from)
	random := rand.New(rand.NewPCG(1, 2)) // the same places in every arm
	return rate(protocol.Read, protocol.PerSecond, 1, func() error {
		_, err := f.ReadAt(block, random.Int64N(blocks)*pageSize)
		return err
	})
}

// openDirect opens a file so that it is read past the page cache, if its file
// system can do that.
func openDirect(name string) (f *os.File, from string, err error) {
	f, err = os.OpenFile(name, os.O_RDONLY|unix.O_DIRECT, 0)
	if err == nil {
		return f, "device", nil
	}
	if !errors.Is(err, unix.EINVAL) { // open(2) O_DIRECT
		return nil, "", err
	}
	f, err = os.Open(name)
	return f, "page-cache", err
}

// blocks returns how many whole blocks f has.
func blocks(f *os.File) (int64, error) {
	size, err := f.Seek(0, io.SeekEnd) // a block device has no other size
	if err != nil {
		return 0, err
	}
	if size < pageSize {
		return 0, errors.New(f.Name() + " has " + strconv.FormatInt(size, 10) + " bytes, want a block of " + strconv.Itoa(pageSize) + " at least")
	}
	return size / pageSize, nil
}
