package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"

	"github.com/wcharczuk/go-chart/v2"
	"github.com/wcharczuk/go-chart/v2/drawing"
)

// A plot is a picture with what is written around it. It is drawn for wide and for
// narrow windows: one that is made smaller cannot be read.
type plot struct {
	ID, Title, Desc string
	LegendOf        string // what a colour means in general, "" if that is clear
	Legend          []legend
	Wide, Narrow    template.HTML
	Trace           string // the command that selects the raw samples
}

// A legend says what a colour means, which is a class of the style sheet.
type legend struct{ Class, Text string }

// A picture is lines between two axes. What it looks like is up to the style
// sheet, by the classes, so that it is right on a light and on a dark page.
type picture struct {
	x, y  axis
	rows  []string // names of the rows that y counts, from above, instead of numbers
	lines []line
	// labels are at the points that they belong to, or with aside, at the right
	// margin and as far apart as they must be.
	labels []label
	aside  bool
	mark   string // that the host is not a real one
}

// A line joins points.
type line struct {
	class string
	dash  []float64
	dots  bool
	x, y  []float64
}

// A label is a text to the right of a point, of which a narrow picture leaves the
// value out.
type label struct {
	class, text, value string
	x, y               float64
}

// The sizes of a picture and its text, in pixels.
const (
	wideWidth, narrowWidth = 980, 370
	textSize               = 12
	textWidth              = 7 // of a letter, at most on average
	rowHeight              = 34
	topMargin              = 40 // with two lines of text in a narrow picture
)

// draw draws the picture. The title and the description are for those who do not
// see it; id is one of the page's.
//
// The library does not quote text: what is given to it is quoted before.
func (p *picture) draw(width, height int, id, title, desc string) (template.HTML, error) {
	invisible := chart.Style{Hidden: true}
	text := chart.Style{ClassName: "tick", FontSize: textSize + 1, // browsers' letters are wider than the library's
		StrokeColor: drawing.ColorBlack, StrokeWidth: 1}
	name := chart.Style{ClassName: "name", FontSize: textSize}
	c := chart.Chart{
		Width: width, Height: height, DPI: 72,
		Background: chart.Style{ClassName: "paper", Padding: chart.Box{Top: topMargin, Left: 4, Right: p.rightMargin(width), Bottom: 8}},
		Canvas:     chart.Style{ClassName: "paper"},
		XAxis: chart.XAxis{Name: p.x.name, NameStyle: name, Style: text, TickStyle: text,
			Range: p.x.chartRange(), Ticks: p.x.chartTicks(), GridMajorStyle: invisible, GridMinorStyle: invisible},
		// The one on the right is not drawn, but the library takes from its ticks how
		// far the one on the left reaches.
		YAxis: chart.YAxis{Style: invisible, Range: p.y.chartRange(), Ticks: p.yTicks()},
		YAxisSecondary: chart.YAxis{Style: text, TickStyle: text,
			Range: p.y.chartRange(), Ticks: p.yTicks(), GridMajorStyle: invisible, GridMinorStyle: invisible,
			Zero: chart.GridLine{Style: invisible}},
		Elements: []chart.Renderable{p.drawWords, func(r chart.Renderer, box chart.Box, _ chart.Style) { p.drawLabels(r, box, width) }},
	}
	for _, l := range append(p.grid(), p.lines...) {
		c.Series = append(c.Series, l.series(&p.x, &p.y))
	}
	var out bytes.Buffer
	if err := c.Render(chart.SVG, &out); err != nil {
		return "", fmt.Errorf("plot %q: %w", title, err)
	}
	tag, rest, _ := strings.Cut(out.String(), ">")
	return template.HTML(fmt.Sprintf(`%s role="img" aria-labelledby="%s-title %s-desc"><title id="%s-title">%s</title><desc id="%s-desc">%s</desc>%s`,
		tag, id, id, id, html.EscapeString(title), id, html.EscapeString(desc), rest)), nil
}

// series is the line as the library wants it.
func (l *line) series(x, y *axis) chart.ContinuousSeries {
	s := chart.ContinuousSeries{
		YAxis: chart.YAxisSecondary, // the one on the left
		Style: chart.Style{ClassName: l.class, StrokeColor: drawing.ColorBlack, StrokeWidth: 1, StrokeDashArray: l.dash},
	}
	if l.dots {
		s.Style.DotColor, s.Style.DotWidth = drawing.ColorBlack, 3
	}
	for i := range l.x {
		s.XValues, s.YValues = append(s.XValues, x.at(l.x[i])), append(s.YValues, y.at(l.y[i]))
	}
	return s
}

// grid has a line at each tick of the axes, but for rows.
func (p *picture) grid() []line {
	var lines []line
	for _, v := range p.x.ticks {
		lines = append(lines, line{class: "grid", x: []float64{v, v}, y: []float64{p.y.low, p.y.high}})
	}
	if p.rows != nil {
		return lines
	}
	for _, v := range p.y.ticks {
		lines = append(lines, line{class: "grid", x: []float64{p.x.low, p.x.high}, y: []float64{v, v}})
	}
	return lines
}

// yTicks are the ticks of the y axis: numbers, or the names of rows.
func (p *picture) yTicks() []chart.Tick {
	if p.rows == nil {
		return p.y.chartTicks()
	}
	ticks := []chart.Tick{{Value: p.y.low}}
	for i, row := range p.rows {
		ticks = append(ticks, chart.Tick{Value: rowAt(i, len(p.rows)), Label: html.EscapeString(row)})
	}
	return append(ticks, chart.Tick{Value: p.y.high})
}

// rowAxis is the y axis of n rows, of which row i is at rowAt.
func rowAxis(n int) axis { return axis{high: float64(n)} }

func rowAt(i, n int) float64 { return float64(n-i) - 0.5 }

// in is the label's text in a picture of that width.
func (l *label) in(width int) string {
	if l.value == "" || width < wideWidth {
		return l.text
	}
	return l.text + ", " + l.value
}

// rightMargin is the room for labels beside the picture.
func (p *picture) rightMargin(width int) int {
	longest := 0
	for _, l := range p.labels {
		longest = max(longest, len([]rune(l.in(width))))
	}
	return 16 + longest*textWidth
}

// drawWords draws the name of the y axis, which is easier to read when it lies
// above the axis, and the mark.
func (p *picture) drawWords(r chart.Renderer, box chart.Box, _ chart.Style) {
	r.ClearTextRotation()
	r.SetFontSize(textSize)
	r.SetClassName("name")
	r.Text(html.EscapeString(p.y.name), 4, textSize)
	if p.mark != "" {
		r.SetClassName("mark")
		r.Text(html.EscapeString(p.mark), box.Right, topMargin-8)
	}
}

// drawLabels draws the labels.
func (p *picture) drawLabels(r chart.Renderer, box chart.Box, width int) {
	type placed struct {
		label
		x, y int
	}
	var all []placed
	for _, l := range p.labels {
		x := box.Left + int(p.x.part(l.x)*float64(box.Width()))
		if p.aside {
			x = box.Right
		}
		all = append(all, placed{l, x + 8, box.Bottom - int(p.y.part(l.y)*float64(box.Height())) + textSize/3})
	}
	if p.aside { // from below, each at least a line above the one before
		slices.SortStableFunc(all, func(a, b placed) int { return b.y - a.y })
		for i := 1; i < len(all); i++ {
			all[i].y = min(all[i].y, all[i-1].y-textSize-2)
		}
	}
	for _, l := range all {
		r.SetClassName("label " + l.class)
		r.Text(html.EscapeString(l.in(width)), l.x, l.y)
	}
}
