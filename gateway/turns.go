// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// turns let what a namespace asks the API server for go on a few bytes at a time: what
// is large one after the other, what is small hardly ever after each other. After
// something large it rests as long as that took: the API server takes its time for
// it, and others should have theirs beside it.
type turns struct {
	atOnce int64 // bytes
	now    func() time.Time

	mu    sync.Mutex
	lines map[string]*turnsLine // by namespace
}

type turnsLine struct {
	bytes *semaphore.Weighted
	users int // under way or waiting
}

func newTurns(atOnce int64, now func() time.Time) *turns {
	return &turns{atOnce: atOnce, now: now, lines: map[string]*turnsLine{}}
}

// enter waits for a turn of so many bytes; the caller ends it with leave.
func (t *turns) enter(ctx context.Context, namespace string, bytes int) (leave func(), err error) {
	weight := min(int64(bytes), t.atOnce)
	t.mu.Lock()
	line := t.lines[namespace]
	if line == nil {
		line = &turnsLine{bytes: semaphore.NewWeighted(t.atOnce)}
		t.lines[namespace] = line
	}
	line.users++
	t.mu.Unlock()
	part := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		line.users--
		if line.users == 0 {
			delete(t.lines, namespace)
		}
	}
	if err := line.bytes.Acquire(ctx, weight); err != nil {
		part()
		return nil, err
	}
	began := t.now()
	return func() {
		rest := time.Duration(0)
		if weight > bytesPerWrite {
			rest = min(t.now().Sub(began), mostRest)
		}
		after(rest, func() {
			line.bytes.Release(weight)
			part()
		})
	}, nil
}
