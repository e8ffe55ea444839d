// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Measures of the drawings.
const (
	breakWidth  = 40
	axisHeight  = 26
	barThick    = 12
	thinnestBar = 4
	// letterWidth is what a letter of an axis takes on average, letterGap what must be
	// free between two texts.
	letterWidth, letterGap = 6.4, 6
)

// timelineMeasures are those of one drawing. Style shows the one that fits the screen.
type timelineMeasures struct {
	class  string
	width  int
	left   int // where the axis begins
	right  int // what is free behind it
	row    int // height of an attempt
	ticks  int // at most
	middle int // of the bar, from the top of the row
	text   int // base line, from there
	result int // where the result begins; 0: it ends at the right edge
}

// wideMeasures have the names of the attempts at the left and the results at the right,
// narrowMeasures both above the bar.
var (
	wideMeasures   = timelineMeasures{class: "wide", width: 960, left: 92, right: 230, row: 30, ticks: 7, middle: 15, text: 19, result: 742} //nolint:gochecknoglobals // never changed
	narrowMeasures = timelineMeasures{class: "narrow", width: 340, left: 8, right: 8, row: 50, ticks: 3, middle: 36, text: 16}               //nolint:gochecknoglobals // never changed
)

// timelineLane is a line of the drawing: an attempt, made or scheduled.
type timelineLane struct {
	number     int
	due        time.Time // zero: unknown
	start, end time.Time // zero: to come
	class      string    // ok, bad or next
	result     string
}

// drawTimeline draws the attempts over the policy's schedule, to one scale in seconds.
// Where nothing happens for much longer than the policy ever waits, the axis is cut and
// the gap labelled. There is a drawing for each kind of screen.
func drawTimeline(delivery *Delivery, rows []attemptRow, delays []time.Duration, timeout time.Duration) template.HTML {
	lanes := newTimelineLanes(delivery, rows, delays)
	if len(lanes) == 0 {
		return ""
	}
	var out strings.Builder
	for _, m := range []timelineMeasures{wideMeasures, narrowMeasures} {
		s := newTimelineScale(m, delivery.CreatedAt, lanes, delays, timeout)
		height := axisHeight + len(lanes)*m.row + 6
		fmt.Fprintf(&out, `<svg class="timeline %s" viewBox="0 0 %d %d" role="img" aria-labelledby="timeline-%s"><title id="timeline-%s">%s</title>`,
			m.class, m.width, height, m.class, m.class, describeTimeline(lanes))
		s.drawAxis(&out, height)
		for i, l := range lanes {
			s.drawLane(&out, l, axisHeight+i*m.row, timeout)
		}
		out.WriteString(`</svg>`)
	}
	return template.HTML(out.String()) //nolint:gosec // numbers and words of our own; results are escaped in newTimelineLanes
}

func describeTimeline(lanes []timelineLane) string {
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

// newTimelineLanes makes lanes of the attempts made, then of those scheduled.
func newTimelineLanes(delivery *Delivery, rows []attemptRow, delays []time.Duration) (lanes []timelineLane) {
	for _, row := range rows {
		l := timelineLane{number: row.Number, start: row.StartedAt, class: "bad"}
		l.end = row.StartedAt.Add(time.Duration(row.DurationMS) * time.Millisecond)
		if row.Due != nil {
			l.due = *row.Due
		}
		outcome := string(escapeText(row.Reason))
		if row.ResponseStatus != nil {
			outcome = fmt.Sprint(*row.ResponseStatus)
		}
		if row.Reason == nil {
			l.class = "ok"
		}
		l.result = outcome + " in " + formatDuration(row.DurationMS)
		lanes = append(lanes, l)
	}
	if delivery.NextAttemptAt == nil {
		return lanes
	}
	due := *delivery.NextAttemptAt
	for number := delivery.Attempts + 1; ; number++ {
		lanes = append(lanes, timelineLane{number: number, due: due, class: "next", result: "to come"})
		if number-1 >= len(delays) {
			return lanes
		}
		due = due.Add(delays[number-1])
	}
}

// timelineSegment is a stretch of the axis without a cut.
type timelineSegment struct {
	from, to time.Time
	x        float64
}

// timelineScale maps times to positions.
type timelineScale struct {
	timelineMeasures

	origin   time.Time
	segments []timelineSegment
	perUnit  float64 // pixels a second
	cut      float64 // pixels of each cut
}

// newTimelineScale cuts the axis where nothing happens for much longer than the policy's longest
// wait.
func newTimelineScale(m timelineMeasures, origin time.Time, lanes []timelineLane, delays []time.Duration, timeout time.Duration) *timelineScale {
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
	s := &timelineScale{timelineMeasures: m, origin: origin, segments: []timelineSegment{{from: moments[0], to: moments[0]}}}
	for _, at := range moments {
		last := &s.segments[len(s.segments)-1]
		if at.Sub(last.to) > longest+longest/2 {
			s.segments = append(s.segments, timelineSegment{from: at, to: at})
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
	// Many cuts leave little of a narrow drawing: they become narrower.
	axis := float64(m.width - m.left - m.right)
	cuts := float64(len(s.segments) - 1)
	s.cut = min(breakWidth, axis/2/max(cuts, 1))
	s.perUnit = (axis - cuts*s.cut) / total.Seconds()
	x := float64(m.left)
	for i := range s.segments {
		s.segments[i].x = x
		x += s.segments[i].to.Sub(s.segments[i].from).Seconds()*s.perUnit + s.cut
	}
	return s
}

// x is the position of a time, never beyond the end of its segment.
func (s *timelineScale) x(at time.Time) float64 {
	for i, seg := range s.segments {
		if !at.After(seg.to) || i == len(s.segments)-1 {
			at = timelineMax(timelineMin(at, seg.to), seg.from)
			return seg.x + at.Sub(seg.from).Seconds()*s.perUnit
		}
	}
	return 0
}

func timelineMin(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func timelineMax(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// drawAxis draws grid lines and cuts. A label is left out where it would overlap an
// earlier one; the cuts are labelled first.
func (s *timelineScale) drawAxis(out *strings.Builder, height int) {
	total := time.Duration(0)
	for _, seg := range s.segments {
		total += seg.to.Sub(seg.from)
	}
	var written timelineLabels
	for i, seg := range s.segments[1:] {
		x := seg.x - s.cut/2
		fmt.Fprintf(out, `<path class="cut" d="M%.1f %dl-4 6 8 6 -4 6V%d"/>`, x, axisHeight-8, height-4)
		s.writeLabel(out, &written, x, "+"+formatDuration(seg.from.Sub(s.segments[i].to)))
	}
	step := timelineTickStep(total / time.Duration(s.ticks))
	first := s.segments[0].from.Sub(s.origin)
	for at := first.Truncate(step); at <= s.segments[0].to.Sub(s.origin); at += step {
		if at < first {
			continue
		}
		x := s.x(s.origin.Add(at))
		fmt.Fprintf(out, `<path class="grid" d="M%.1f %dV%d"/>`, x, axisHeight-8, height-4)
		s.writeLabel(out, &written, x, formatTimelineTick(at))
	}
}

// timelineLabels are the extents of the labels on the axis.
type timelineLabels [][2]float64

// writeLabel puts a label on the axis, or leaves it out where there is no room.
func (s *timelineScale) writeLabel(out *strings.Builder, written *timelineLabels, x float64, text string) {
	half := float64(utf8.RuneCountInString(text)) * letterWidth / 2
	x = max(half, min(x, float64(s.width)-half))
	for _, other := range *written {
		if x-half < other[1]+letterGap && x+half > other[0]-letterGap {
			return
		}
	}
	*written = append(*written, [2]float64{x - half, x + half})
	fmt.Fprintf(out, `<text class="tick" x="%.1f" y="12" text-anchor="middle">%s</text>`, x, text)
}

func formatTimelineTick(at time.Duration) string {
	if at == 0 {
		return "0"
	}
	return "+" + formatDuration(at)
}

// timelineTickStep is a round step of at least this length.
func timelineTickStep(least time.Duration) time.Duration {
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

// drawLane draws the attempt as a bar, its due time as a diamond, and its longest duration
// as a band behind both. A tick or a cross stands before the result.
func (s *timelineScale) drawLane(out *strings.Builder, l timelineLane, y int, timeout time.Duration) {
	middle, text := float64(y+s.middle), y+s.text
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
	if s.result > 0 {
		fmt.Fprintf(out, `<text class="label" x="0" y="%d">Attempt %d</text>`, text, l.number)
		s.drawSign(out, l.class, sign, s.result, text)
		fmt.Fprintf(out, `<text class="result" x="%d" y="%d">%s</text>`, s.result+16, text, l.result)
		return
	}
	s.drawSign(out, l.class, sign, 0, text)
	fmt.Fprintf(out, `<text class="label" x="16" y="%d">Attempt %d</text>`, text, l.number)
	fmt.Fprintf(out, `<text class="result" x="%d" y="%d" text-anchor="end">%s</text>`, s.width, text, l.result)
}

func (s *timelineScale) drawSign(out *strings.Builder, class, sign string, x, text int) {
	if sign != "" {
		fmt.Fprintf(out, `<path class="sign %s" d="M%d %d%s"/>`, class, x+1, text-8, sign)
	}
}
