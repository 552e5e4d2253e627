// Package option reads the value of a flag that has parts, with commas between
// them:
//
//	--disk path=disk.img,ro,id=root
//	--disk disk.img,ro
//
// A comma that belongs to a value is written twice.
package option

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"microvm/cmd/vmm/internal/suggest"
)

// A Set is the options that a flag knows. The zero Set knows none.
type Set struct {
	// Dir is where relative paths count from, "" for the working directory.
	Dir string

	options []option
}

// An option is one that may be given, and whether it was.
type option struct {
	name     string
	bare     string // its value if it is given without one, "" if it needs one
	optional bool   // it may be given without a value
	repeat   bool   // it may be given more than once
	given    bool
	set      func(string) error
}

// Func declares an option whose value goes to set.
func (s *Set) Func(name string, set func(string) error) {
	s.options = append(s.options, option{name: name, set: set})
}

// Each is Func for an option that may be given more than once.
func (s *Set) Each(name string, set func(string) error) {
	s.options = append(s.options, option{name: name, repeat: true, set: set})
}

// Optional is Func for an option that may be given without a value, which is
// then "".
func (s *Set) Optional(name string, set func(string) error) {
	s.options = append(s.options, option{name: name, optional: true, set: set})
}

// Text declares an option whose value goes to p.
func (s *Set) Text(name string, p *string) {
	s.Func(name, func(v string) error { *p = v; return nil })
}

// Path declares an option for the name of a file or directory.
func (s *Set) Path(name string, p *string) {
	s.Func(name, func(v string) error {
		if s.Dir != "" && !filepath.IsAbs(v) {
			v = filepath.Join(s.Dir, v)
		}
		*p = v
		return nil
	})
}

// Choice declares an option whose value is one of choices.
func (s *Set) Choice(name string, p *string, choices ...string) {
	s.Func(name, func(v string) error { *p = v; return suggest.Check(v, choices) })
}

// Switch declares an option that is "on" or "off"; given alone it is on.
func (s *Set) Switch(name string, p *bool) {
	s.options = append(s.options, option{name: name, bare: "on", set: func(v string) error {
		*p = v == "on"
		return suggest.Check(v, []string{"on", "off"})
	}})
}

// Parse sets the options that text gives. If its first part is no option, it is
// the value of the option first, unless that is "". All mistakes are in one
// line.
func (s *Set) Parse(text, first string) error {
	var wrong []string
	for i, part := range split(text) {
		name, value, hasValue := strings.Cut(part, "=")
		if i == 0 && first != "" && part != "" && !hasValue && s.find(name) == nil {
			name, value, hasValue = first, part, true
		}
		if err := s.give(name, value, hasValue); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// give sets one option.
func (s *Set) give(name, value string, hasValue bool) error {
	o := s.find(name)
	switch {
	case name == "" && !hasValue:
		return errors.New("there is an empty option; a comma in a value is written twice")
	case o == nil:
		return s.unknown(name)
	case o.given && !o.repeat:
		return fmt.Errorf("%s is given twice", name)
	case !hasValue && o.bare == "" && !o.optional:
		return fmt.Errorf("%s needs a value: %s=…", name, name)
	case !hasValue:
		value = o.bare
	case value == "":
		return fmt.Errorf("%s is empty", name)
	}
	o.given = true
	if err := o.set(value); err != nil {
		return fmt.Errorf("%s=%s: %w", name, value, err)
	}
	return nil
}

func (s *Set) find(name string) *option {
	for i := range s.options {
		if s.options[i].name == name {
			return &s.options[i]
		}
	}
	return nil
}

func (s *Set) unknown(name string) error {
	var names []string
	for _, o := range s.options {
		names = append(names, o.name)
	}
	if near := suggest.Nearest(name, names); near != "" {
		return fmt.Errorf("no option %q; did you mean %s?", name, near)
	}
	return fmt.Errorf("no option %q; there are %s", name, strings.Join(names, ", "))
}

// split cuts text at its commas, except that two of them are one of a part.
func split(text string) (parts []string) {
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != ',':
			part.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == ',':
			part.WriteByte(',')
			i++
		default:
			parts = append(parts, part.String())
			part.Reset()
		}
	}
	return append(parts, part.String())
}
