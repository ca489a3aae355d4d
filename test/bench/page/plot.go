package page

import (
	"bytes"
	"fmt"
	"math"

	"github.com/wcharczuk/go-chart/v2"
)

// line is one line of a plot.
type line struct {
	name string
	of   func(Scale) float64
}

// Plots are the pictures of the page, by the names of their files.
func (r *Results) Plots() (map[string][]byte, error) {
	all := map[string][]byte{}
	for name, p := range map[string]struct {
		title string
		lines []line
	}{
		"performance-requests.svg": {"requests to the API server for each reboot", []line{
			{"by the node that reboots", func(s Scale) float64 { return s.PerReboot }},
			{"by all waiting nodes together", func(s Scale) float64 { return s.PerWaiter * float64(s.Waiting) }},
		}},
		"performance-handover.svg": {"handover, slot freed to next node cordoned, ms", []line{
			{"median", func(s Scale) float64 { return s.HandoverMedian }},
			{"p99", func(s Scale) float64 { return s.HandoverP99 }},
		}},
	} {
		svg, err := r.plot(p.title, p.lines)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = svg
	}
	return all, nil
}

// plot draws lines over the number of waiting nodes, on a logarithmic scale.
func (r *Results) plot(title string, lines []line) ([]byte, error) {
	var x []float64
	var ticks []chart.Tick
	for _, s := range r.Scales {
		at := math.Log10(float64(s.Waiting))
		x = append(x, at)
		ticks = append(ticks, chart.Tick{Value: at, Label: fmt.Sprint(s.Waiting)})
	}
	c := chart.Chart{
		Title: title, Width: 720, Height: 360,
		Background: chart.Style{Padding: chart.Box{Top: 50, Left: 20, Right: 20, Bottom: 20}},
		XAxis:      chart.XAxis{Name: "waiting nodes", Ticks: ticks},
	}
	most := 1.0
	for _, l := range lines {
		s := chart.ContinuousSeries{Name: l.name, XValues: x, Style: chart.Style{StrokeWidth: 2, DotWidth: 4}}
		for _, scale := range r.Scales {
			s.YValues = append(s.YValues, l.of(scale))
			most = max(most, l.of(scale))
		}
		c.Series = append(c.Series, s)
	}
	c.YAxis.Range = &chart.ContinuousRange{Min: 0, Max: most * 1.1}
	c.Elements = []chart.Renderable{chart.LegendThin(&c)}
	var b bytes.Buffer
	err := c.Render(chart.SVG, &b)
	return b.Bytes(), err
}
