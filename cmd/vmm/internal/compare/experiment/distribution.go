package experiment

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// distribution returns what a distribution's user space takes on disk, and
// which one it is.
func (s *Session) distribution() (what string, size int64, err error) {
	if s.Distribution != "" {
		files, err := readFiles(s.Distribution)
		return s.Distribution, files.allocated(), err
	}
	const status = "/var/lib/dpkg/status"
	f, err := os.Open(status)
	if err != nil {
		return "", 0, fmt.Errorf("no distribution was given, and this host is no Debian: %w", err)
	}
	defer f.Close()
	size, err = basePackages(f)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", status, err)
	}
	return "this host's Debian packages of priority required, important and standard", size, nil
}

// basePackages returns how many bytes the packages take that any Debian system has, of
// those in dpkg's list of packages (deb-control(5), Debian Policy §2.5).
func basePackages(status io.Reader) (size int64, err error) {
	base := map[string]bool{"required": true, "important": true, "standard": true}
	fields := make(map[string]string)
	add := func() error {
		defer clear(fields)
		if !base[fields["Priority"]] || fields["Status"] != "install ok installed" {
			return nil
		}
		kib, err := strconv.ParseInt(fields["Installed-Size"], 10, 64)
		if err != nil {
			return fmt.Errorf("package %s: Installed-Size: %w", fields["Package"], err)
		}
		size += kib << 10
		return nil
	}
	lines := bufio.NewReader(status)
	for {
		line, err := lines.ReadString('\n')
		if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
			fields[name] = strings.TrimSpace(value)
		}
		if line == "\n" || err == io.EOF {
			if err := add(); err != nil {
				return 0, err
			}
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
