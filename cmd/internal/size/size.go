// Package size reads and writes amounts of memory as people give them to
// commands: "512M", "4G", "512MiB" or a plain number of bytes.
package size

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are the suffixes that mean something, each a power of 1024 as is the
// custom for memory. Letters of either case count as the same.
var units = map[string]uint64{
	"": 1, "b": 1,
	"k": 1 << 10, "ki": 1 << 10, "kib": 1 << 10,
	"m": 1 << 20, "mi": 1 << 20, "mib": 1 << 20,
	"g": 1 << 30, "gi": 1 << 30, "gib": 1 << 30,
	"t": 1 << 40, "ti": 1 << 40, "tib": 1 << 40,
}

// howTo ends every error.
const howTo = "write it like 512M, 4G, 512MiB or 536870912"

// Parse returns the number of bytes that s stands for. Its errors say what is
// wrong with s and what would be right, and leave out s itself.
func Parse(s string) (uint64, error) {
	s = strings.TrimSpace(s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	number, unit := s[:digits], strings.TrimSpace(s[digits:])
	switch {
	case s == "":
		return 0, errors.New("empty; " + howTo)
	case strings.HasPrefix(s, "-"):
		return 0, errors.New("a size cannot be negative; " + howTo)
	case digits == 0:
		return 0, errors.New("not a size; " + howTo)
	case isFraction(unit):
		return 0, errors.New("must be a whole number; use a smaller unit, such as 1536M for 1.5G")
	}
	factor, ok := units[strings.ToLower(unit)]
	if !ok {
		return 0, unknownUnit(number, unit)
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > math.MaxUint64/factor {
		return 0, errors.New("larger than any computer's memory")
	}
	return n * factor, nil
}

// isFraction reports whether what follows the digits of a size makes them part
// of a number with a point or an exponent.
func isFraction(unit string) bool {
	rest, point := strings.CutPrefix(unit, ".")
	if !point {
		rest, point = strings.CutPrefix(strings.ToLower(unit), "e")
	}
	return point && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// unknownUnit is the error for a unit that is none. The decimal units, which
// are 2 to 10 % smaller than what people mean by them, are refused by name.
func unknownUnit(number, unit string) error {
	switch u := strings.ToUpper(unit); u {
	case "KB", "MB", "GB", "TB":
		return fmt.Errorf("%s may mean powers of 1000 or of 1024; write %s%siB", unit, number, u[:1])
	}
	return fmt.Errorf("unknown unit %q; the units are K, M, G and T, powers of 1024", unit)
}

// Format writes n bytes in the largest unit that divides them, so that Parse
// reads the same number again.
func Format(n uint64) string {
	for _, u := range []string{"T", "G", "M", "K"} {
		if f := units[strings.ToLower(u)]; n >= f && n%f == 0 {
			return strconv.FormatUint(n/f, 10) + u
		}
	}
	return strconv.FormatUint(n, 10)
}

// Human writes n bytes for a person, rounded to three digits.
func Human(n uint64) string {
	v, i := float64(n), 0
	for ; v >= 1000 && i < 4; i++ {
		v /= 1024
	}
	names := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	switch {
	case i == 0:
		return fmt.Sprintf("%d bytes", n)
	case v < 10:
		return fmt.Sprintf("%.1f %s", v, names[i])
	}
	return fmt.Sprintf("%.0f %s", v, names[i])
}
