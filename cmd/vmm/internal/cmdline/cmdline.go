// Package cmdline puts a Linux kernel command line together.
//
// The kernel cuts the line at white space that is not between double quotes,
// and takes the quotes away. What follows the word "--" it hands to the first
// program, init, as arguments (admin-guide/kernel-parameters.rst).
package cmdline

import (
	"fmt"
	"strings"
)

// MaxInitArgs is the number of arguments that a kernel hands to init. It has
// 32 places by default (CONFIG_INIT_ENV_ARG_LIMIT), the first of them for
// init's name, and panics at once if there are more.
const MaxInitArgs = 31

// Build returns the command line base with parameters added to those it has,
// and args to the arguments for init.
func Build(base string, parameters, args []string) (string, error) {
	if len(args) > MaxInitArgs {
		return "", fmt.Errorf("%d arguments for the guest's init, of which a kernel takes at most %d; put them in a script in the initrd",
			len(args), MaxInitArgs)
	}
	line, initArgs := split(base)
	words := append([]string{line}, parameters...)
	if len(args) > 0 || initArgs != "" {
		words = append(words, "--", initArgs)
	}
	for _, arg := range args {
		q, err := quote(arg)
		if err != nil {
			return "", err
		}
		words = append(words, q)
	}
	var out strings.Builder
	for _, w := range words {
		if w == "" {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(w)
	}
	return out.String(), nil
}

// split cuts a command line into the kernel's part and what follows the word
// "--", each without white space around it.
func split(line string) (parameters, initArgs string) {
	inQuotes, start := false, 0
	for i := 0; i <= len(line); i++ {
		switch {
		case i < len(line) && line[i] == '"':
			inQuotes = !inQuotes
		case i == len(line) || isSpace(line[i]) && !inQuotes:
			if line[start:i] == "--" {
				return strings.TrimSpace(line[:start]), strings.TrimSpace(line[i:])
			}
			start = i + 1
		}
	}
	return strings.TrimSpace(line), ""
}

// quote returns arg, in quotes if it is empty or has white space, so that the
// kernel makes one argument of it again.
func quote(arg string) (string, error) {
	spaces := arg == ""
	for _, c := range []byte(arg) {
		spaces = spaces || isSpace(c)
		switch c {
		case '"':
			return "", fmt.Errorf("argument %q for the guest's init has a double quote, which a kernel command line cannot carry; use single quotes", arg)
		case '\n', '\r', 0:
			return "", fmt.Errorf("argument %q for the guest's init has a line break, which a kernel command line cannot carry", arg)
		}
	}
	if !spaces {
		return arg, nil
	}
	return `"` + arg + `"`, nil
}

// noBreakSpace counts as white space for Linux, which takes the bytes of a
// command line for Latin-1 (lib/ctype.c). In UTF-8 it is part of many letters,
// such as the à.
const noBreakSpace = 0xa0

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' || c == noBreakSpace }
