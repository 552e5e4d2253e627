package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// lineWidth is how long lines of sentences are, in characters.
const lineWidth = 100

// terminal writes what a person wants to see at once: the verdicts and the
// tables. The rest is in the files.
func terminal(w io.Writer, p *page) error {
	var out bytes.Buffer
	if p.Warning != "" {
		fmt.Fprintf(&out, "%s\n\n", wrap(p.Warning, ""))
	}
	for _, s := range p.Sections {
		for _, t := range s.Tables {
			t.Caption = s.Name + ": " + t.Caption
			t.write(&out)
			fmt.Fprintln(&out)
		}
	}
	for _, a := range p.Missing {
		fmt.Fprintf(&out, "%s\n", wrap(fmt.Sprintf("%s was not measured: %s. To install it: %s", a.Name, a.Problem, a.Install), ""))
	}
	fmt.Fprintln(&out)
	for _, c := range p.Claims {
		fmt.Fprintf(&out, "%s\n", wrap("“"+c.Said+"”", ""))
		fmt.Fprintf(&out, "%s\n\n", wrap(fmt.Sprintf("%s. %s", c.Verdict, c.Because), "  "))
	}
	_, err := out.WriteTo(w)
	return err
}

// write writes a table in columns, for a terminal.
func (t *table) write(out *bytes.Buffer) {
	fmt.Fprintf(out, "%s\n", t.Caption)
	columns := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := t.Rows
	if len(rows) > 0 {
		rows = append([][]string{t.Head}, rows...)
	}
	for _, row := range rows {
		fmt.Fprintf(columns, "  %s\n", strings.Join(shorten(row), "\t"))
	}
	columns.Flush() // to a buffer, which does not fail
	for _, n := range t.Notes {
		fmt.Fprintf(out, "%s\n", wrap(n, "  "))
	}
}

// cellWidth is how long the text of a cell is at most, in characters.
const cellWidth = 60

// shorten cuts texts that are too long for a column.
func shorten(row []string) []string {
	short := slices.Clone(row)
	for i, text := range short {
		if r := []rune(text); len(r) > cellWidth {
			short[i] = string(r[:cellWidth-1]) + "…"
		}
	}
	return short
}

// wrap breaks text between words into lines, each of which begins with indent.
func wrap(text, indent string) string {
	var lines []string
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent {
			if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > lineWidth {
				lines, line = append(lines, line), indent
			} else {
				line += " "
			}
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
