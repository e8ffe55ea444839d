// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"
)

// A bar of the plot is a delivery: upwards if it succeeded, the higher the longer it took;
// downwards if it failed. So the plot can be read without colour.
const (
	barWidth, barGap = 3, 1
	barUp, barDown   = 18, 6
	fastest, slowest = 10 * time.Millisecond, 10 * time.Second
	maxPlotted       = 40
	plotWidth        = maxPlotted * (barWidth + barGap)
	plotHeight       = barUp + barDown + 2
	shortestBar      = 2
)

// healthSummary is the outcomes of a webhook's latest deliveries in numbers: those of the plot,
// and the successes between them that have no object.
type healthSummary struct {
	Total, Succeeded int
	Drawn            int
	Share            int // percent
	Median, Slowest  time.Duration
	Plot             template.HTML
	Known            bool // false: the caller may not know
	Ever             bool // all since the webhook exists, because its successes have no objects
}

// summarizeHealth computes the summary of a webhook's outcomes and draws the plot.
func summarizeHealth(h Health) healthSummary {
	recent := h.Recent
	s := healthSummary{Total: len(recent), Drawn: len(recent), Known: recent != nil}
	var took []time.Duration
	for _, o := range recent {
		s.Total += o.Untold
		s.Succeeded += o.Untold
		if o.Succeeded {
			s.Succeeded++
			took = append(took, o.Took)
		}
	}
	if s.Known && h.Unsampled {
		s.Ever, s.Succeeded, s.Total = true, int(h.Succeeded), int(h.Succeeded+h.Failed)
	}
	s.Share = percentage(s.Succeeded, s.Total)
	if len(took) > 0 {
		slices.Sort(took)
		s.Median, s.Slowest = took[len(took)/2], took[len(took)-1]
	}
	if s.Drawn > 0 {
		s.Plot = drawHealthPlot(recent, s.describe())
	}
	return s
}

func (s healthSummary) describe() string {
	words := fmt.Sprintf("Of the last %d deliveries %d succeeded.", s.Total, s.Succeeded)
	if s.Ever {
		words = fmt.Sprintf("Of %d deliveries ever %d succeeded.", s.Total, s.Succeeded)
	}
	if s.Slowest > 0 {
		words += fmt.Sprintf(" They took %s in the middle, %s at most.", formatDuration(s.Median), formatDuration(s.Slowest))
	}
	return words
}

func drawHealthPlot(recent []Outcome, words string) template.HTML {
	recent = recent[max(0, len(recent)-maxPlotted):]
	var up, down strings.Builder
	x := (maxPlotted - len(recent)) * (barWidth + barGap) // the newest is always at the right
	for _, o := range recent {
		if o.Succeeded {
			fmt.Fprintf(&up, "M%d %dv-%dh%dv%dz", x, barUp, healthBarHeight(o.Took), barWidth, healthBarHeight(o.Took))
		} else {
			fmt.Fprintf(&down, "M%d %dv%dh%dv-%dz", x, barUp+2, barDown, barWidth, barDown)
		}
		x += barWidth + barGap
	}
	return template.HTML(fmt.Sprintf( //nolint:gosec // numbers, and words made of numbers
		`<svg class="plot" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s"><path class="axis" d="M0 %d.5h%d"/><path class="up" d="%s"/><path class="down" d="%s"/></svg>`,
		plotWidth, plotHeight, plotWidth, plotHeight, words, barUp, plotWidth, up.String(), down.String()))
}

// healthBarHeight grows with the logarithm, so that 10 ms and 10 s are both visible.
func healthBarHeight(took time.Duration) int {
	took = min(max(took, fastest), slowest)
	part := math.Log(float64(took)/float64(fastest)) / math.Log(float64(slowest)/float64(fastest))
	return shortestBar + int(math.Round(part*(barUp-shortestBar)))
}
