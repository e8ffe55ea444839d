// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
)

// Measures of the drawing.
const (
	drawnWidth  = 960
	labelWidth  = 92
	resultWidth = 168
	breakWidth  = 40
	axisHeight  = 26
	rowHeight   = 30
	barThick    = 12
	thinnestBar = 4
	mostTicks   = 7
)

// lane is a line of the drawing: an attempt, made or to come.
type lane struct {
	number     int
	due        time.Time // zero: unknown
	start, end time.Time // zero: to come
	class      string    // ok, bad or next
	result     string
}

// drawTimeline draws what happened over what the policy says, to one scale in
// seconds. Where nothing happens for much longer than the policy ever waits, the
// axis is cut, and says by how much.
func drawTimeline(delivery *Delivery, rows []attemptRow, delays []time.Duration, timeout time.Duration) template.HTML {
	lanes := lanesOf(delivery, rows, delays)
	if len(lanes) == 0 {
		return ""
	}
	s := scaleOf(delivery.CreatedAt, lanes, delays, timeout)
	height := axisHeight + len(lanes)*rowHeight + 6
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="timeline" viewBox="0 0 %d %d" role="img" aria-labelledby="timeline-title"><title id="timeline-title">%s</title>`,
		drawnWidth, height, timelineWords(lanes))
	s.drawAxis(&out, height)
	for i, l := range lanes {
		s.drawLane(&out, l, axisHeight+i*rowHeight, timeout)
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) //nolint:gosec // numbers and words of our own; results are escaped in lanesOf
}

func timelineWords(lanes []lane) string {
	made, next := 0, 0
	for _, l := range lanes {
		if l.start.IsZero() {
			next++
		} else {
			made++
		}
	}
	return fmt.Sprintf("Time line: attempts made %d, still to come %d. The table below has the times.", made, next)
}

// lanesOf are the attempts that are known, then those still to come.
func lanesOf(delivery *Delivery, rows []attemptRow, delays []time.Duration) (lanes []lane) {
	for _, row := range rows {
		l := lane{number: row.Number, start: row.StartedAt, class: "bad"}
		l.end = row.StartedAt.Add(time.Duration(row.DurationMS) * time.Millisecond)
		if row.Due != nil {
			l.due = *row.Due
		}
		outcome := string(shownText(row.Reason))
		if row.ResponseStatus != nil {
			outcome = fmt.Sprint(*row.ResponseStatus)
		}
		if row.Reason == nil {
			l.class = "ok"
		}
		l.result = outcome + " in " + shownDuration(row.DurationMS)
		lanes = append(lanes, l)
	}
	if delivery.NextAttemptAt == nil {
		return lanes
	}
	due := *delivery.NextAttemptAt
	for number := delivery.Attempts + 1; ; number++ {
		lanes = append(lanes, lane{number: number, due: due, class: "next", result: "to come"})
		if number-1 >= len(delays) {
			return lanes
		}
		due = due.Add(delays[number-1])
	}
}

// segment is a stretch of time without a cut.
type segment struct {
	from, to time.Time
	x        float64
}

// scale turns times into places.
type scale struct {
	origin   time.Time
	segments []segment
	perUnit  float64 // pixels a second
}

// scaleOf cuts the axis where nothing happens for much longer than the policy
// waits at most.
func scaleOf(origin time.Time, lanes []lane, delays []time.Duration, timeout time.Duration) *scale {
	moments := []time.Time{origin}
	for _, l := range lanes {
		for _, at := range []time.Time{l.due, l.start, l.end} {
			if !at.IsZero() {
				moments = append(moments, at)
			}
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	longest := timeout
	for _, delay := range delays {
		longest = max(longest, delay+timeout)
	}
	s := &scale{origin: origin, segments: []segment{{from: moments[0], to: moments[0]}}}
	for _, at := range moments {
		last := &s.segments[len(s.segments)-1]
		if at.Sub(last.to) > longest+longest/2 {
			s.segments = append(s.segments, segment{from: at, to: at})
			continue
		}
		last.to = at
	}
	last := &s.segments[len(s.segments)-1] // room for the last bar
	total := time.Duration(0)
	for _, seg := range s.segments {
		total += seg.to.Sub(seg.from)
	}
	last.to = last.to.Add(max(total/40, 200*time.Millisecond))
	total += max(total/40, 200*time.Millisecond)
	free := float64(drawnWidth - labelWidth - resultWidth - (len(s.segments)-1)*breakWidth)
	s.perUnit = max(free, 100) / total.Seconds()
	x := float64(labelWidth)
	for i := range s.segments {
		s.segments[i].x = x
		x += s.segments[i].to.Sub(s.segments[i].from).Seconds()*s.perUnit + breakWidth
	}
	return s
}

// x is the place of a moment, never beyond the end of its segment.
func (s *scale) x(at time.Time) float64 {
	for i, seg := range s.segments {
		if !at.After(seg.to) || i == len(s.segments)-1 {
			at = latest(earliest(at, seg.to), seg.from)
			return seg.x + at.Sub(seg.from).Seconds()*s.perUnit
		}
	}
	return 0
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// drawAxis draws a line every few seconds, minutes or hours, and the cuts.
func (s *scale) drawAxis(out *strings.Builder, height int) {
	total := time.Duration(0)
	for _, seg := range s.segments {
		total += seg.to.Sub(seg.from)
	}
	step := niceStep(total / mostTicks)
	for i, seg := range s.segments {
		first := seg.from.Sub(s.origin)
		if i > 0 {
			gap := seg.from.Sub(s.segments[i-1].to)
			x := seg.x - breakWidth/2
			fmt.Fprintf(out, `<path class="cut" d="M%.1f %dl-4 6 8 6 -4 6V%d"/><text class="tick" x="%.1f" y="12" text-anchor="middle">+%s</text>`,
				x, axisHeight-8, height-4, x, shownDuration(gap))
			continue
		}
		for at := first.Truncate(step); at <= seg.to.Sub(s.origin); at += step {
			if at < first {
				continue
			}
			x := s.x(s.origin.Add(at))
			fmt.Fprintf(out, `<path class="grid" d="M%.1f %dV%d"/><text class="tick" x="%.1f" y="12" text-anchor="middle">%s</text>`,
				x, axisHeight-8, height-4, x, tickWords(at))
		}
	}
}

func tickWords(at time.Duration) string {
	if at == 0 {
		return "0"
	}
	return "+" + shownDuration(at)
}

// niceStep is a step that people count in, at least this long.
func niceStep(least time.Duration) time.Duration {
	steps := []time.Duration{
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	}
	for _, step := range steps {
		if step >= least {
			return step
		}
	}
	return least.Round(24*time.Hour) + 24*time.Hour
}

// drawLane draws the time that an attempt may take as a band, when it was due as
// a diamond, and the attempt as a bar with a tick or a cross at its end.
func (s *scale) drawLane(out *strings.Builder, l lane, y int, timeout time.Duration) {
	middle := float64(y) + rowHeight/2
	fmt.Fprintf(out, `<text class="label" x="0" y="%.1f">Attempt %d</text>`, middle+4, l.number)
	from := l.start
	if from.IsZero() {
		from = l.due
	}
	x := s.x(from)
	band := max(s.x(from.Add(timeout))-x, 2)
	fmt.Fprintf(out, `<rect class="band" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="3"/>`, x, middle-barThick/2-3, band, barThick+6)
	if !l.start.IsZero() {
		fmt.Fprintf(out, `<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2"/>`,
			l.class, x, middle-barThick/2, max(s.x(l.end)-x, thinnestBar), barThick)
	}
	if !l.due.IsZero() {
		fmt.Fprintf(out, `<path class="due" d="M%.1f %.1fl4 4 -4 4 -4 -4z"/>`, s.x(l.due), middle-barThick/2-7)
	}
	sign := map[string]string{"ok": "m0 4 3 3 6-7", "bad": "m0 0 7 7m0-7-7 7"}[l.class]
	begin := float64(drawnWidth - resultWidth + 12)
	if sign != "" {
		fmt.Fprintf(out, `<path class="sign %s" d="M%.1f %.1f%s"/>`, l.class, begin, middle-4, sign)
	}
	fmt.Fprintf(out, `<text class="result" x="%.1f" y="%.1f">%s</text>`, begin+16, middle+4, l.result)
}
