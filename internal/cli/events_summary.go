// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// publishSummary counts what became of the lines of a file.
type publishSummary struct {
	published, noted int
	unmatched        int // of the published: no webhook wants them
	skipped, failed  []lineReport
	unfinished       int // tried, and not known whether it worked

	stopped     error // why not all lines were tried
	interrupted bool
}

// lineReport is what there is to say about one line.
type lineReport struct {
	Line    int      `json:"line"`
	EventID string   `json:"event_id,omitempty"`
	Reasons []string `json:"reasons"`
}

func (s *publishSummary) done() int { return s.published + s.noted + len(s.skipped) + len(s.failed) }

func (s *publishSummary) add(o lineOutcome) {
	switch {
	case o.err != nil:
		s.failed = append(s.failed, lineReport{o.line.number, o.line.id, explainError(o.err)})
	case o.noted:
		s.noted++
	case len(o.published.Skipped) > 0:
		report := lineReport{Line: o.line.number, EventID: o.published.EventID}
		for _, skipped := range o.published.Skipped {
			report.Reasons = append(report.Reasons, skipped.WebhookID+": "+skipped.Reason)
		}
		s.skipped = append(s.skipped, report)
	default:
		s.published++
		if len(o.published.Deliveries) == 0 {
			s.unmatched++
		}
	}
}

// stop remembers the first reason why the rest is not tried.
func (s *publishSummary) stop(o lineOutcome) {
	s.unfinished++
	if s.stopped == nil {
		s.stopped = o.err
	}
}

// summarize prints the summary and returns the error that the command ends with.
func (a *app) summarize(source string, s *publishSummary) error {
	if source == "-" {
		source = "standard input"
	}
	byLine := func(x, y lineReport) int { return cmp.Compare(x.Line, y.Line) }
	slices.SortFunc(s.skipped, byLine)
	slices.SortFunc(s.failed, byLine)
	for _, r := range s.skipped {
		a.printNote("line %d: skipped: %s", r.Line, printableLine(strings.Join(r.Reasons, ", ")))
	}
	for _, r := range s.failed {
		for _, reason := range r.Reasons {
			a.printNote("line %d: failed: %s", r.Line, printableLine(reason))
		}
	}
	if err := a.printSummary(source, s); err != nil {
		return err
	}
	switch {
	case s.interrupted:
		a.printNote("bbmcp: interrupted before the end; run the same command again to go on")
		return errInterrupted
	case s.stopped != nil:
		a.printNote("bbmcp: stopped before the end; run the same command again to go on")
		return s.stopped
	case len(s.failed) > 0:
		return errSilent // each line was told
	}
	return nil
}

func (a *app) printSummary(source string, s *publishSummary) error {
	if a.output == formatJSON || a.output == formatYAML {
		return a.printValue(struct {
			Published    int          `json:"published"`
			Unmatched    int          `json:"unmatched"`
			AlreadyThere int          `json:"already_there"`
			Skipped      []lineReport `json:"skipped"`
			Failed       []lineReport `json:"failed"`
			Unfinished   int          `json:"unfinished"`
			Complete     bool         `json:"complete"`
		}{
			s.published, s.unmatched, s.noted, append([]lineReport{}, s.skipped...), append([]lineReport{}, s.failed...),
			s.unfinished, s.stopped == nil && !s.interrupted,
		})
	}
	line := fmt.Sprintf("%s: %d published, %d already there, %d skipped, %d failed",
		source, s.published, s.noted, len(s.skipped), len(s.failed))
	if s.unfinished > 0 {
		line += fmt.Sprintf(", %d unfinished", s.unfinished)
	}
	if s.unmatched > 0 {
		line += fmt.Sprintf(" (%d that no webhook wants)", s.unmatched)
	}
	_, err := fmt.Fprintln(a.Out, line)
	return err
}
