package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// hypertext writes the page as one file of HTML. It has no script, and tells the
// browser to run none.
func hypertext(w io.Writer, p *page) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(pageStyle) },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}
