package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// shells maps the shells that there are completions for to what writes them.
var shells = map[string]func([]completion) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}

var shellNames = []string{"bash", "zsh", "fish"}

func completionCommand() *command {
	return &command{
		name:    "completion",
		summary: "print a completion script for a shell",
		usage:   "completion bash|zsh|fish",
		words:   shellNames,
		examples: [][2]string{
			{"source <(vmm completion bash)", "in this bash, or in ~/.bashrc"},
			{"vmm completion zsh > ~/.zfunc/_vmm", "for zsh, in a directory of $fpath"},
			{"vmm completion fish > ~/.config/fish/completions/vmm.fish", "for fish"},
		},
		setUp: func(f *flags) runner {
			return func(a *app, args []string) error {
				if len(args) == 0 {
					return usagef("which shell? One of %s", strings.Join(shellNames, ", "))
				}
				script, ok := shells[args[0]]
				if !ok {
					return unknown("completion for", args[0], shellNames)
				}
				if err := noArguments(args[1:]); err != nil {
					return err
				}
				_, err := io.WriteString(a.stdout, script(completions()))
				return err
			}
		},
	}
}

// A completion is what can follow a subcommand.
type completion struct {
	name, summary string
	words         []string // that may follow
	flags         []flagCompletion
}

// A flagCompletion is a flag and what can follow it.
type flagCompletion struct {
	name, text string
	takesValue bool     // as the next word
	choices    []string // values; nil if it takes any
	isPath     bool
}

// completions are those of all commands. Help of a command completes like one.
func completions() []completion {
	var all []completion
	for _, c := range commands() {
		f := newFlags()
		c.setUp(f)
		words := c.words
		if c.name == "help" {
			words = commandNames()
		}
		one := completion{name: c.name, summary: c.summary, words: words}
		f.VisitAll(func(flag *pflag.Flag) {
			_, isPathFlag := flag.Annotations[isPath]
			_, text := pflag.UnquoteUsage(flag)
			one.flags = append(one.flags, flagCompletion{
				name: flag.Name, text: text, takesValue: flag.NoOptDefVal == "",
				choices: flag.Annotations[isChoice], isPath: isPathFlag,
			})
		})
		one.flags = append(one.flags, flagCompletion{name: "help", text: "tell about this command"})
		all = append(all, one)
	}
	return all
}

// bashCompletion is a function for bash's complete -F. A value after "=" comes
// to it as a word of its own, because "=" is in COMP_WORDBREAKS.
func bashCompletion(all []completion) string {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	var b strings.Builder
	b.WriteString(`# bash completion for vmm
_vmm_files() { # by lines, for names with blanks
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}
_vmm() {
	local current=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]}
	local command=${COMP_WORDS[1]} words=
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W "` + strings.Join(names, " ") + `" -- "$current"))
		return
	fi
	if [[ $current == = ]]; then
		current= flag+==
	elif [[ $flag == = ]]; then
		flag=${COMP_WORDS[COMP_CWORD-2]}=
	fi
	case "$command $flag" in
`)
	for _, c := range all {
		for _, f := range c.flags {
			pattern := fmt.Sprintf("%q", c.name+" --"+f.name+"=")
			if f.takesValue {
				pattern += fmt.Sprintf("|%q", c.name+" --"+f.name)
			}
			switch {
			case f.choices != nil:
				fmt.Fprintf(&b, "\t%s) words=%q ;;\n", pattern, strings.Join(f.choices, " "))
			case f.isPath:
				fmt.Fprintf(&b, "\t%s) _vmm_files \"$current\"; return ;;\n", pattern)
			case f.takesValue:
				fmt.Fprintf(&b, "\t%s) return ;;\n", pattern)
			}
		}
	}
	b.WriteString("\tesac\n\tif [[ -z $words ]]; then\n\t\tcase $command in\n")
	for _, c := range all {
		words := append([]string(nil), c.words...)
		for _, f := range c.flags {
			words = append(words, "--"+f.name)
		}
		fmt.Fprintf(&b, "\t\t%s) words=%q ;;\n", c.name, strings.Join(words, " "))
	}
	b.WriteString(`		esac
		if [[ $command == inspect && $current != -* ]]; then
			_vmm_files "$current"
			return
		fi
	fi
	COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _vmm vmm
`)
	return b.String()
}

// zshCompletion is a function for zsh's compinit.
func zshCompletion(all []completion) string {
	var b strings.Builder
	b.WriteString("#compdef vmm\n# zsh completion for vmm\n_vmm() {\n\tif ((CURRENT == 2)); then\n\t\tlocal -a commands=(\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\t\t\t%s\n", single(c.name+":"+c.summary))
	}
	b.WriteString("\t\t)\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tlocal command=$words[2]\n\tshift words\n\t((CURRENT--))\n\tcase $command in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments", c.name)
		for _, f := range c.flags {
			fmt.Fprintf(&b, " \\\n\t\t\t%s", single(zshFlag(f)))
		}
		switch {
		case c.words != nil:
			fmt.Fprintf(&b, " \\\n\t\t\t%s", single("1:word:("+strings.Join(c.words, " ")+")"))
		case c.name == "inspect":
			b.WriteString(" \\\n\t\t\t'1:kernel:_files'")
		}
		b.WriteString("\n\t\t;;\n")
	}
	b.WriteString("\tesac\n}\n_vmm \"$@\"\n")
	return b.String()
}

// zshFlag is the specification of a flag for _arguments.
func zshFlag(f flagCompletion) string {
	spec := fmt.Sprintf("--%s[%s]", f.name, strings.NewReplacer("[", "(", "]", ")", ":", ",").Replace(f.text))
	if f.takesValue {
		spec = strings.Replace(spec, "[", "=[", 1)
	} else if f.choices != nil {
		spec = strings.Replace(spec, "[", "=-[", 1)
	}
	switch {
	case f.choices != nil && f.takesValue:
		return spec + ":value:(" + strings.Join(f.choices, " ") + ")"
	case f.choices != nil:
		return spec + "::value:(" + strings.Join(f.choices, " ") + ")"
	case f.isPath:
		return spec + ":file:_files"
	case f.takesValue:
		return spec + ":value:"
	}
	return spec
}

// fishCompletion is a list of fish's complete commands.
func fishCompletion(all []completion) string {
	var b strings.Builder
	b.WriteString("# fish completion for vmm\ncomplete -c vmm -f\n")
	for _, c := range all {
		fmt.Fprintf(&b, "complete -c vmm -n __fish_use_subcommand -a %s -d %s\n", c.name, single(c.summary))
		here := single("__fish_seen_subcommand_from " + c.name)
		for _, w := range c.words {
			fmt.Fprintf(&b, "complete -c vmm -n %s -a %s\n", here, w)
		}
		if c.name == "inspect" {
			fmt.Fprintf(&b, "complete -c vmm -n %s -F\n", here)
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "complete -c vmm -n %s -l %s -d %s", here, f.name, single(f.text))
			switch {
			case f.choices != nil:
				fmt.Fprintf(&b, " -a %s", single(strings.Join(f.choices, " ")))
			case f.isPath:
				b.WriteString(" -F")
			}
			switch {
			case f.takesValue && f.isPath:
				b.WriteString(" -r")
			case f.takesValue:
				b.WriteString(" -x") // needs a value, which is no file
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// single puts s in single quotes for a shell.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
