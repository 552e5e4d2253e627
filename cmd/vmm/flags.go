package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"microvm/cmd/internal/size"
	"microvm/cmd/vmm/internal/config"
	"microvm/cmd/vmm/internal/option"
	"microvm/cmd/vmm/internal/suggest"
	"microvm/vmm"
)

// errHelp is the wish for help, not a mistake.
var errHelp = pflag.ErrHelp

// flags are a command's flags, in groups for its help.
//
// A wrong value does not end parsing: problems gathers them all, so that a
// user mends them at once.
type flags struct {
	*pflag.FlagSet
	groups []flagGroup
	// origin is where a flag was set if not on the command line:
	// "boot.toml:3".
	origin map[string]string
	// dir is where relative paths count from: the directory of a
	// configuration file while it is read, "" for the working directory.
	dir      string
	problems []vmm.FieldError
}

type flagGroup struct {
	title string
	*pflag.FlagSet
}

// Annotations of flags, for completion and configuration files.
const (
	isPath   = "path"   // the value names a file or directory
	isChoice = "choice" // the value is one of these
)

func newFlags() *flags {
	f := &flags{FlagSet: newFlagSet(), origin: make(map[string]string)}
	f.SetInterspersed(true)
	return f
}

func newFlagSet() *pflag.FlagSet {
	s := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.SortFlags = false
	s.Usage = func() {}
	return s
}

// shorthands are the flags with a short form as well: those that have it in
// every other program.
var shorthands = map[string]string{"output": "o"}

// group begins a group of flags: those added after it.
func (f *flags) group(title string) {
	f.groups = append(f.groups, flagGroup{title, newFlagSet()})
}

// add puts a flag in the current group. In its text, the word in back quotes
// stands for the value.
func (f *flags) add(v pflag.Value, name, text string) *pflag.Flag {
	if len(f.groups) == 0 {
		f.group("Flags")
	}
	flag := f.VarPF(v, name, shorthands[name], text)
	f.groups[len(f.groups)-1].AddFlag(flag)
	return flag
}

// A value is a flag's value with the function that sets it from text.
type value struct {
	kind string // as pflag names types
	text string // as set, for the help's default
	set  func(string) error
}

func (v *value) String() string { return v.text }
func (v *value) Type() string   { return v.kind }

func (v *value) Set(s string) error {
	v.text = s
	return v.set(s)
}

// gathered makes a value of set whose errors go to f.problems.
func (f *flags) gathered(name, kind, initial string, set func(string) error) *value {
	return &value{kind: kind, text: initial, set: func(s string) error {
		if err := set(s); err != nil {
			f.problems = append(f.problems, vmm.FieldError{Field: name, Problem: fmt.Sprintf("%q: %v", s, err)})
		}
		return nil
	}}
}

// stringVar adds a flag for a text.
func (f *flags) stringVar(p *string, name, text string) *pflag.Flag {
	return f.add(&value{kind: "string", text: *p, set: func(s string) error { *p = s; return nil }}, name, text)
}

// pathVar adds a flag for a file or directory. An empty name is a mistake,
// mostly a shell variable that is not set.
func (f *flags) pathVar(p *string, name, text string) *pflag.Flag {
	flag := f.add(f.gathered(name, "path", *p, func(s string) error {
		*p = s
		return notEmpty(s)
	}), name, text)
	flag.Annotations = map[string][]string{isPath: nil}
	return flag
}

func notEmpty(name string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	return nil
}

// boolVar adds a flag that is there or not.
func (f *flags) boolVar(p *bool, name, text string) *pflag.Flag {
	flag := f.add(f.gathered(name, "bool", strconv.FormatBool(*p), func(s string) (err error) {
		if *p, err = strconv.ParseBool(s); err != nil {
			return errors.New("must be true or false")
		}
		return nil
	}), name, text)
	flag.NoOptDefVal = "true"
	return flag
}

// sizeVar adds a flag for an amount of memory.
func (f *flags) sizeVar(p *uint64, name, text string) *pflag.Flag {
	return f.add(f.gathered(name, "size", size.Format(*p), func(s string) (err error) {
		*p, err = size.Parse(s)
		return err
	}), name, text)
}

// countVar adds a flag for a whole number.
func (f *flags) countVar(p *int, name, text string) *pflag.Flag {
	return f.add(f.gathered(name, "int", strconv.Itoa(*p), func(s string) error {
		n, err := strconv.Atoi(s)
		if errors.Is(err, strconv.ErrRange) {
			return errors.New("far too large")
		} else if err != nil {
			return errors.New("not a whole number")
		}
		*p = n
		return nil
	}), name, text)
}

// durationVar adds a flag for a time of some length.
func (f *flags) durationVar(p *time.Duration, name, text string) *pflag.Flag {
	return f.add(f.gathered(name, "duration", p.String(), func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return errors.New("must be a time such as 90s, 10m or 1h30m")
		}
		*p = d
		return nil
	}), name, text)
}

// choiceVar adds a flag for one of a few words.
func (f *flags) choiceVar(p *string, choices []string, name, text string) *pflag.Flag {
	flag := f.add(f.gathered(name, "choice", *p, func(s string) error {
		*p = s
		return suggest.Check(s, choices)
	}), name, text)
	flag.Annotations = map[string][]string{isChoice: choices}
	return flag
}

// listVar adds a flag for words with commas between them, which may be given
// more than once. If choices is not nil, each must be one of them.
func (f *flags) listVar(p *[]string, choices []string, name, text string) *pflag.Flag {
	flag := f.add(f.gathered(name, "list", strings.Join(*p, ","), func(s string) error {
		var words []string
		for w := range strings.SplitSeq(s, ",") {
			w = strings.TrimSpace(w)
			if w == "" {
				return errors.New("there is an empty word; write it like a,b")
			}
			if choices != nil {
				if err := suggest.Check(w, choices); err != nil {
					return err
				}
			}
			words = append(words, w)
		}
		*p = append(*p, words...)
		return nil
	}), name, text)
	if choices != nil {
		flag.Annotations = map[string][]string{isChoice: choices}
	}
	return flag
}

// repeatVar adds a flag for a text that may be given more than once.
func (f *flags) repeatVar(p *[]string, name, text string) *pflag.Flag {
	return f.add(&value{kind: "texts", set: func(s string) error { *p = append(*p, s); return nil }}, name, text)
}

// namesVar adds a flag like repeatVar for a name, which is not empty.
func (f *flags) namesVar(p *[]string, name, text string) *pflag.Flag {
	return f.add(f.gathered(name, "texts", "", func(s string) error {
		*p = append(*p, s)
		return notEmpty(s)
	}), name, text)
}

// optionsVar adds a flag that may be given more than once, each time with options
// of its own. Add declares them and parses the text.
func (f *flags) optionsVar(name, text string, add func(o *option.Set, text string) error) {
	f.add(f.gathered(name, "texts", "", func(s string) error {
		return add(&option.Set{Dir: f.dir}, s)
	}), name, text)
}

// pathsVar adds a flag like pathVar that may be given more than once.
func (f *flags) pathsVar(p *[]string, name, text string) *pflag.Flag {
	flag := f.namesVar(p, name, text)
	flag.Annotations = map[string][]string{isPath: nil}
	return flag
}

// parse sets the flags from args and returns the other arguments. The first
// name that is no flag is an error; wrong values are in f.problems.
func (f *flags) parse(args []string) ([]string, error) {
	err := f.Parse(args)
	var notFlag *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	switch {
	case err == nil:
		return f.Args(), nil
	case errors.As(err, &notFlag):
		name := notFlag.GetSpecifiedName()
		if near := suggest.Nearest(name, f.names()); near != "" {
			return nil, usagef("no flag --%s; did you mean --%s?", name, near)
		}
		if notFlag.GetSpecifiedShortnames() != "" {
			return nil, usagef("no flag -%s; flags have two dashes and long names", name)
		}
		return nil, usagef("no flag --%s", name)
	case errors.As(err, &noValue):
		return nil, usagef("--%s needs a value", noValue.GetSpecifiedName())
	case errors.Is(err, errHelp):
		return nil, errHelp
	}
	return nil, usagef("%v", err)
}

// names are the names of all flags.
func (f *flags) names() []string {
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return names
}

// check returns all that is wrong: the gathered problems and those of more,
// without what follows from one that is there.
func (f *flags) check(more ...vmm.FieldError) error {
	var e usageError
	said := make(map[string]bool)
	for _, p := range f.problems {
		said[p.Field] = true
		e.problems = append(e.problems, f.describe(p))
	}
	for _, p := range more {
		if !said[p.Field] {
			e.problems = append(e.problems, f.describe(p))
		}
	}
	if len(e.problems) == 0 {
		return nil
	}
	return &e
}

// describe says what is wrong with a flag, and where if that is in a file.
func (f *flags) describe(p vmm.FieldError) string {
	switch at := f.origin[p.Field]; {
	case at != "":
		return at + ": " + p.Error()
	case f.Lookup(p.Field) == nil: // of no flag, or where it stands is in its name
		return p.Error()
	}
	return "--" + p.Error()
}

// applyFile sets the flags that the command line did not from the file at
// path. Its keys are names of flags; relative paths count from where it is.
func (f *flags) applyFile(path string) error {
	settings, err := config.Read(path)
	if err != nil {
		return err
	}
	f.dir = filepath.Dir(path)
	for _, s := range settings {
		f.applySetting(s, fmt.Sprintf("%s:%d", path, s.Line))
	}
	f.dir = ""
	return nil
}

// applySetting sets one flag, or adds what is wrong with the setting to
// f.problems.
func (f *flags) applySetting(s config.Setting, at string) {
	wrong := func(field, problem string) {
		f.problems = append(f.problems, vmm.FieldError{Field: field, Problem: problem})
	}
	flag := f.Lookup(s.Key)
	if flag == nil || s.Key == "config" {
		if near := suggest.Nearest(s.Key, f.names()); near != "" && near != s.Key {
			wrong(at, fmt.Sprintf("no setting %q; did you mean %q?", s.Key, near))
			return
		}
		wrong(at, fmt.Sprintf("no setting %q; see vmm help boot for the flags, whose names are the settings'", s.Key))
		return
	}
	if flag.Changed {
		return
	}
	f.origin[s.Key] = at
	texts, ok := settingText(flag.Value.Type(), s.Value)
	if !ok {
		wrong(s.Key, "must be "+settingKinds[flag.Value.Type()])
		return
	}
	for _, text := range texts {
		if _, ok := flag.Annotations[isPath]; ok && text != "" && !filepath.IsAbs(text) {
			text = filepath.Join(f.dir, text)
		}
		if err := f.Set(s.Key, text); err != nil {
			wrong(s.Key, err.Error())
			return
		}
	}
}

// settingKinds says for each type of flag what its setting must be.
var settingKinds = map[string]string{
	"string": "a string",
	"path":   "a string, the name of a file",
	"choice": "a string",
	"bool":   "true or false",
	"int":    "a whole number",
	"size":   "a string such as \"512M\" or a number of bytes",
	"list":   "a string or an array of strings",
	"texts":  "a string or an array of strings",
}

// settingText makes of a setting's value what would be written on the command
// line, once for each time; ok is false if it has not the type of the flag.
func settingText(kind string, v any) (texts []string, ok bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, kind != "bool" && kind != "int"
	case bool:
		return []string{strconv.FormatBool(v)}, kind == "bool"
	case int64:
		return []string{strconv.FormatInt(v, 10)}, kind == "int" || kind == "size"
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, false
			}
			texts = append(texts, s)
		}
		return texts, kind == "list" || kind == "texts"
	}
	return nil, false
}
