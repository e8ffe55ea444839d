// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

const (
	// fileRepeats and fileMaxWait ride through a restart of the gateway, and
	// through a full namespace, whose 429 is what slows the publisher down.
	fileRepeats = 12
	fileMaxWait = time.Minute

	// interruptGrace is how long events that are on their way when the command
	// is interrupted may take.
	interruptGrace = 10 * time.Second
)

// lineOutcome is what became of one line.
type lineOutcome struct {
	line      eventLine
	noted     bool // by an earlier run
	published *rest.Published
	err       error
}

// settled reports whether there is nothing left to do for a line that was sent:
// every webhook that wants it has a delivery, and there is one that does.
func (o *lineOutcome) settled() bool {
	return o.err == nil && !o.noted && len(o.published.Deliveries) > 0 && len(o.published.Skipped) == 0
}

// filePublisher publishes the events of a file.
type filePublisher struct {
	client      *client.Client
	lines       *lineReader
	notes       *noteFile // nil: none
	concurrency int
	progress    *publishProgress
}

func (a *app) publishFile(ctx context.Context, eventType string, flags *publishFlags) error {
	if flags.concurrency < 1 || flags.concurrency > maxConcurrency {
		return usageError{fmt.Sprintf("--concurrency: from 1 to %d", maxConcurrency)}
	}
	c, err := a.connect(func(o *client.Options) { o.Repeats, o.MaxWait = fileRepeats, fileMaxWait })
	if err != nil {
		return err
	}
	in, total, err := a.openEventsFile(flags.from)
	if err != nil {
		return err
	}
	defer in.Close()
	shown, err := newProgress(a.Err, flags.report, total, a.Now)
	if err != nil {
		return err
	}
	notes, err := openNotes(flags.notesPath())
	if err != nil {
		return err
	}
	defer notes.close()
	target, err := a.publishTarget(ctx)
	if err != nil {
		return err
	}
	p := &filePublisher{
		client: c, notes: notes, concurrency: flags.concurrency, progress: shown,
		lines: newLineReader(in, eventType, flags.batchName(), target),
	}
	s := p.run(ctx)
	shown.end()
	return a.summarize(flags.from, s)
}

// openEventsFile opens a file of events and counts its lines, where they can be
// counted without using them up.
func (a *app) openEventsFile(path string) (io.ReadCloser, int, error) {
	if path == "-" {
		return io.NopCloser(a.In), 0, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("--from: %w", err)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return file, 0, err
	}
	total, err := countLines(file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, fmt.Errorf("--from: %w", err)
	}
	return file, total, nil
}

// run publishes until the file or the context ends, or until something fails
// that is not for one line to answer for.
func (p *filePublisher) run(ctx context.Context) *publishSummary {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	sending, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(interruptGrace, abandon) })()

	lines, outcomes := make(chan eventLine), make(chan lineOutcome)
	s := &publishSummary{}
	var readErr error
	go func() {
		defer close(lines)
		readErr = p.read(reading, lines)
	}()
	var workers sync.WaitGroup
	for range p.concurrency {
		workers.Go(func() {
			for line := range lines {
				outcomes <- p.publish(sending, line)
			}
		})
	}
	go func() {
		workers.Wait()
		close(outcomes)
	}()
	for o := range outcomes {
		if o.settled() {
			o.err = p.notes.add(o.line)
		}
		if o.err != nil && o.line.err == nil && !isLineError(o.err) {
			s.stop(o)
			stop()
			continue
		}
		s.add(o)
		p.progress.show(s)
	}
	s.interrupted = ctx.Err() != nil
	if s.stopped == nil && !s.interrupted {
		s.stopped = readErr
	}
	return s
}

func (p *filePublisher) read(ctx context.Context, lines chan<- eventLine) error {
	for {
		line, err := p.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		select {
		case lines <- line:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *filePublisher) publish(ctx context.Context, line eventLine) lineOutcome {
	switch {
	case line.err != nil:
		return lineOutcome{line: line, err: line.err}
	case p.notes.has(line):
		return lineOutcome{line: line, noted: true}
	}
	key := line.id
	if line.given {
		key = "" // it is in the body
	}
	published, err := p.client.PublishJSON(ctx, line.body, key)
	return lineOutcome{line: line, published: published, err: err}
}
