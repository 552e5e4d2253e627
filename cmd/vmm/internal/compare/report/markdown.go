package report

import (
	"bytes"
	_ "embed"
	"io"
	"strings"
	"text/template"
)

//go:embed page.md
var pageMarkdown string

// markdown writes the page as Markdown, with tables as GitHub has them.
func markdown(w io.Writer, p *page) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"text": escapeMarkdown, "row": markdownRow, "rule": markdownRule, "code": markdownCode,
	}).Parse(pageMarkdown)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return err
	}
	_, err = out.WriteTo(w)
	return err
}

// markdownMeans are characters that Markdown or HTML may take for their own.
var markdownMeans = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "|", `\|`, "[", `\[`, "]", `\]`, "#", `\#`, "~", `\~`,
	"<", "&lt;", ">", "&gt;", "&", "&amp;", "://", `:\//`)

// escapeMarkdown quotes text that is no Markdown.
func escapeMarkdown(text string) string { return markdownMeans.Replace(text) }

// markdownCode quotes a command for a cell of a table.
func markdownCode(command string) string {
	fence := "`"
	for strings.Contains(command, fence) {
		fence += "`"
	}
	return fence + " " + strings.ReplaceAll(command, "|", `\|`) + " " + fence
}

func markdownRow(cells []string) string {
	var b strings.Builder
	for _, c := range cells {
		b.WriteString("| " + escapeMarkdown(c) + " ")
	}
	return b.String() + "|"
}

// markdownRule is the line below a table's head.
func markdownRule(t table) string {
	var b strings.Builder
	for i := range t.Head {
		if i < t.Words {
			b.WriteString("|---")
		} else {
			b.WriteString("|--:")
		}
	}
	return b.String() + "|"
}
