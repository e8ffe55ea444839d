// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"time"
)

// watchdog cancels a context when a host was waited for too long. What the caller does between two reads, on a disk that is
// full of work or for a terminal that stands still, is no silence of the host.
type watchdog struct {
	patience time.Duration
	left     time.Duration // of the patience, while nobody waits
	since    time.Time     // while somebody does
	timer    *time.Timer
	cancel   context.CancelCauseFunc
}

// newWatchdog begins to wait.
func newWatchdog(ctx context.Context, patience time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	silent := fmt.Errorf("silent for %s", patience)
	w := &watchdog{patience: patience, left: patience, since: time.Now(), cancel: cancel}
	w.timer = time.AfterFunc(patience, func() { cancel(silent) })
	return ctx, w
}

// renew grants the whole patience again.
func (w *watchdog) renew() { w.left = w.patience }

// resume goes on waiting.
func (w *watchdog) resume() {
	w.since = time.Now()
	w.timer.Reset(w.left)
}

// pause ends the wait for now.
func (w *watchdog) pause() {
	w.timer.Stop()
	w.left -= time.Since(w.since)
}

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}
