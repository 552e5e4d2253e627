package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"microvm/guestinit"
)

// loadModules loads the modules that the initramfs lists for the running
// kernel in the file called listName, in the order of the list. That one fails
// does not stop the others, but those that depend on it will fail as well.
func loadModules(listName string) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		say("uname: ", err.Error())
		return
	}
	dir := guestinit.ModulesDir(unix.ByteSliceToString(name.Release[:]))
	list, err := os.ReadFile(dir + "/" + listName)
	if err != nil {
		return // this initramfs has no modules for this kernel
	}
	for file := range strings.Lines(string(list)) {
		file = strings.TrimSuffix(file, "\n")
		if err := loadModule(dir + "/" + file); err != nil {
			say("module ", file, ": ", err.Error())
		}
	}
}

func loadModule(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.FinitModule(fd, "", 0)
	if err == unix.EEXIST { // loaded already, or built in
		return nil
	}
	return err
}
