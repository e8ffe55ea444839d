// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Values of --progress.
const (
	reportAuto  = "auto"
	reportBar   = "bar"
	reportPlain = "plain"
	reportNone  = "none"
)

const (
	barEvery   = 100 * time.Millisecond
	plainEvery = 5 * time.Second
	// plainSteps is how often plain progress is told at most between these.
	plainSteps = 10
)

// publishProgress tells how far a file is published, on standard error.
type publishProgress struct {
	w     io.Writer
	mode  string
	width func() int
	total int // 0: unknown
	now   func() time.Time

	started, last time.Time
	step          int
	drawn         bool
}

func newProgress(w io.Writer, mode string, total int, now func() time.Time) (*publishProgress, error) {
	p := &publishProgress{w: w, mode: mode, total: total, now: now, width: func() int { return terminalWidth(w) }}
	switch mode {
	case reportBar, reportPlain, reportNone:
	case reportAuto:
		p.mode = reportPlain
		if p.width() > 0 {
			p.mode = reportBar
		}
	default:
		return nil, usageError{"--progress: want auto, bar, plain or none"}
	}
	p.started = now()
	p.last = p.started
	return p, nil
}

// show tells how far it is, if it is time for that.
func (p *publishProgress) show(s *publishSummary) {
	now := p.now()
	switch p.mode {
	case reportBar:
		if now.Sub(p.last) >= barEvery || s.done() == p.total {
			p.last, p.drawn = now, true
			// Back to the beginning of the line, and clear it.
			fmt.Fprintf(p.w, "\r\x1b[K%s", p.drawBar(s, now))
		}
	case reportPlain:
		step := 0
		if p.total >= plainSteps {
			step = s.done() * plainSteps / p.total
		}
		if step > p.step || now.Sub(p.last) >= plainEvery {
			p.step, p.last = step, now
			fmt.Fprintln(p.w, p.describe(s, now))
		}
	}
}

// end leaves the line of the bar.
func (p *publishProgress) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
}

// describe is progress without a bar.
func (p *publishProgress) describe(s *publishSummary, now time.Time) string {
	text := fmt.Sprintf("%d events", s.done())
	if p.total > 0 {
		text = fmt.Sprintf("%d/%d events", s.done(), p.total)
	}
	if n := len(s.failed); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if elapsed := now.Sub(p.started); elapsed >= time.Second {
		text += fmt.Sprintf(", %.0f/s", float64(s.done())/elapsed.Seconds())
	}
	return text
}

// drawBar is progress as a bar that fits the terminal.
func (p *publishProgress) drawBar(s *publishSummary, now time.Time) string {
	text := p.describe(s, now)
	if p.total == 0 {
		return text
	}
	share := min(float64(s.done())/float64(p.total), 1)
	text = fmt.Sprintf("%3.0f%% %s", share*100, text)
	if elapsed := now.Sub(p.started); share > 0 && share < 1 && elapsed >= 2*time.Second {
		left := time.Duration(float64(elapsed) * (1 - share) / share)
		text += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	room := min(max(p.width(), 20)-len(text)-4, 40) // brackets, a space, and the last column
	if room < 5 {
		return text
	}
	full := int(share * float64(room))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "] " + text
}
