package main

import (
	"errors"
	"os"
	"strings"
)

// shell is the program that runs where the command line names no payload.
const shell = "/bin/sh"

// payload returns the payload and its arguments: what follows "--" in line, the
// kernel's command line, else the shell, else nothing if there is no shell in
// the initramfs.
//
// The kernel passes what follows "--" as our own arguments as well, but after
// every word before it that it does not know.
func payload(line string) (argv []string, err error) {
	argv, dashes := afterDashes(line)
	if dashes && len(argv) == 0 {
		return nil, errors.New(`nothing follows "--" on the kernel's command line: a program is due there`)
	}
	if len(argv) == 0 && exists(shell) {
		argv = []string{shell}
	}
	return argv, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// afterDashes returns the words after the first "--" in a kernel's command
// line, and whether there is one.
func afterDashes(line string) (words []string, found bool) {
	for word := range kernelWords(line) {
		switch {
		case found:
			words = append(words, word)
		case word == "--":
			found = true
		}
	}
	return words, found
}

// kernelWords yields the words of a kernel's command line by the kernel's own
// rules (kernel-parameters: "double-quotes can be used to protect spaces in
// values"). The quotes around a word or around the value after its first "="
// are dropped, all others are kept, and there is no escape.
func kernelWords(line string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			line = strings.TrimLeft(line, blanks)
			if line == "" {
				return
			}
			end := wordEnd(line)
			if !yield(unquote(line[:end])) {
				return
			}
			line = line[end:]
		}
	}
}

// blanks are what the kernel takes for space between words.
const blanks = " \t\n\v\f\r"

// wordEnd returns the length of the word at the start of line.
func wordEnd(line string) int {
	quoted := false
	for i := range len(line) {
		if line[i] == '"' {
			quoted = !quoted
		}
		if !quoted && strings.IndexByte(blanks, line[i]) >= 0 {
			return i
		}
	}
	return len(line)
}

func unquote(word string) string {
	if inner, quoted := strings.CutPrefix(word, `"`); quoted {
		return strings.TrimSuffix(inner, `"`)
	}
	name, value, _ := strings.Cut(word, "=")
	if inner, quoted := strings.CutPrefix(value, `"`); quoted && name != "" {
		return name + "=" + strings.TrimSuffix(inner, `"`)
	}
	return word
}
