// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// Measures of the picture, in pixels.
const (
	width     = 820
	margin    = 24
	labelEnd  = 270 // where bars begin
	barRoom   = 430 // for the longest bar
	rowHeight = 26
	barHeight = 16
	headRoom  = 46 // over the rows of a panel
	gap       = 20 // between panels
	footRoom  = 48
)

// kind says whose bar it is, and so its colour.
type kind string

const (
	ours      kind = "ours"
	reference kind = "reference" // measured in the same run
	elsewhere kind = "elsewhere" // measured earlier on such a machine
)

// bar is one row of a panel.
type bar struct {
	label string
	value float64
	kind  kind
}

// panel is one comparison.
type panel struct {
	title, unit string
	bars        []bar
}

// style colours the picture. A viewer without a preference gets the light one.
const style = `
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.unit, .foot { fill: #59636e; font-size: 12px }
.back { fill: #ffffff } .axis { stroke: #d1d9e0 }
.ours { fill: #0969da } .reference { fill: #8c959f } .elsewhere { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .unit, .foot { fill: #9198a1 }
.back { fill: #0d1117 } .axis { stroke: #3d444d }
.ours { fill: #4493f8 } .reference { fill: #848d97 } .elsewhere { fill: #484f58 }
}
`

// Draw makes the picture. What was not measured is left out.
func Draw(r *report.Report) []byte {
	panels := panels(r)
	height := margin + footRoom
	for _, p := range panels {
		height += headRoom + rowHeight*len(p.bars) + gap
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`,
		width, height, width, height, "Throughput, CPU time and latency of deliveries")
	fmt.Fprintf(&out, "\n<style>%s</style>\n<rect class=\"back\" width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n", style)
	y := margin
	for _, p := range panels {
		y = p.draw(&out, y)
	}
	foot(&out, y, r.Machine)
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func (p panel) draw(out *bytes.Buffer, y int) (end int) {
	text(out, margin, y+14, "title", p.title)
	text(out, margin, y+32, "unit", p.unit)
	longest := 0.0
	for _, b := range p.bars {
		longest = max(longest, b.value)
	}
	y += headRoom
	fmt.Fprintf(out, `<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`+"\n", labelEnd, labelEnd, y, y+rowHeight*len(p.bars))
	for _, b := range p.bars {
		length := 1.0
		if longest > 0 {
			length = max(1, b.value/longest*barRoom)
		}
		text(out, margin, y+18, "", b.label)
		fmt.Fprintf(out, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", b.kind, labelEnd, y+(rowHeight-barHeight)/2, length, barHeight)
		text(out, labelEnd+int(length)+8, y+18, "", report.Number(b.value))
		y += rowHeight
	}
	return y + gap
}

func foot(out *bytes.Buffer, y int, m report.Machine) {
	legend := []struct {
		kind kind
		text string
	}{{ours, "this product"}, {reference, "reference, measured in the same run"}, {elsewhere, "reference, measured earlier on such a machine"}}
	x := margin
	for _, one := range legend {
		fmt.Fprintf(out, `<rect class="%s" x="%d" y="%d" width="12" height="12" rx="2"/>`+"\n", one.kind, x, y)
		text(out, x+18, y+11, "foot", one.text)
		x += 40 + 7*len(one.text)
	}
	if where := strings.TrimSpace(m.CPU + " " + m.Date + " " + m.Commit); where != "" {
		text(out, margin, y+32, "foot", fmt.Sprintf("%d cores of %s; everything on one machine; %s; commit %s", m.Cores, m.CPU, m.Date, m.Commit))
	}
}

func text(out *bytes.Buffer, x, y int, class, content string) {
	fmt.Fprintf(out, `<text class="%s" x="%d" y="%d">`, class, x, y)
	_ = xml.EscapeText(out, []byte(content)) // a buffer takes everything
	out.WriteString("</text>\n")
}

// panels picks the figures. The senders on Postgres and Redis are the
// references that this project set itself at its beginning.
func panels(r *report.Report) []panel {
	find := func(scenario, figure string) (float64, bool) {
		for _, s := range r.Scenarios {
			if s.Name == scenario {
				value, ok := s.Figures[figure]
				return value, ok
			}
		}
		return 0, false
	}
	var all []panel
	add := func(title, unit string, rows ...row) {
		p := panel{title: title, unit: unit}
		measured := false
		for _, one := range rows {
			value, ok := one.value, one.value > 0
			if !ok {
				value, ok = find(one.scenario, one.figure)
				measured = measured || ok
			}
			if ok {
				p.bars = append(p.bars, bar{one.label, value, one.kind})
			}
		}
		if measured {
			all = append(all, p)
		}
	}
	add("Throughput", "deliveries a second, 1 KiB; longer is better",
		row{label: "bare Go forwarder", kind: reference, scenario: "forwarder", figure: report.DeliveriesPerS},
		row{label: "inline", kind: ours, scenario: "inline", figure: report.DeliveriesPerS},
		row{label: "inline, 5 webhooks for each event", kind: ours, scenario: "inline", figure: "fanout5_" + report.DeliveriesPerS},
		row{label: "sender on Redis", kind: elsewhere, value: 1640},
		row{label: "sender on Postgres", kind: elsewhere, value: 900},
		row{label: "durable", kind: ours, scenario: "durable", figure: report.DeliveriesPerS},
		row{label: "API server alone", kind: reference, scenario: "ceiling", figure: report.DeliveriesPerS},
	)
	add("CPU for each delivery", "milliseconds, all processes of the stack; shorter is better",
		row{label: "bare Go forwarder", kind: reference, scenario: "forwarder", figure: report.CPUPerDelivery},
		row{label: "inline", kind: ours, scenario: "inline", figure: report.CPUPerDelivery},
		row{label: "inline, 5 webhooks for each event", kind: ours, scenario: "inline", figure: "fanout5_" + report.CPUPerDelivery},
		row{label: "sender on Redis", kind: elsewhere, value: 1.1},
		row{label: "sender on Postgres", kind: elsewhere, value: 2.0},
		row{label: "durable", kind: ours, scenario: "durable", figure: report.CPUPerDelivery},
		row{label: "API server alone", kind: reference, scenario: "ceiling", figure: report.CPUPerDelivery},
	)
	add("From publish to POST", "milliseconds at 20 events a second; shorter is better",
		row{label: "inline, median", kind: ours, scenario: "latency", figure: report.P50},
		row{label: "inline, 99 of 100", kind: ours, scenario: "latency", figure: report.P99},
		row{label: "durable, median", kind: ours, scenario: "latency", figure: "durable_" + report.P50},
		row{label: "durable, 99 of 100", kind: ours, scenario: "latency", figure: "durable_" + report.P99},
	)
	return all
}

// row is where a bar's value comes from: given, or a figure of a scenario.
type row struct {
	label            string
	kind             kind
	scenario, figure string
	value            float64
}
