// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"fmt"
	"hash"
	"io"
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

// chunk is what has to come within the patience: a host that sends byte after byte is silent as well.
const chunk = 32 << 10

// meter reads an answer: it computes the digest of everything that passes, bounds it, and tells the watchdog.
type meter struct {
	body     io.Reader
	hash     hash.Hash
	watchdog *watchdog
	limit    int64
	total    int64
	report   func(done, total int64)
	every    time.Duration

	done     int64
	marked   int64
	reported time.Time
	err      error
}

var _ io.Reader = (*meter)(nil)

// Read repeats an error once there was one, so that who unpacks cannot swallow it.
func (m *meter) Read(b []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	m.watchdog.resume()
	n, err := m.body.Read(b)
	m.watchdog.pause()
	m.done += int64(n)
	if m.done > m.limit {
		m.err = fmt.Errorf("more than the %s that are allowed", MiB(m.limit))
		return 0, m.err
	}
	m.hash.Write(b[:n])
	if m.done-m.marked >= chunk {
		m.marked = m.done
		m.watchdog.renew()
	}
	if m.report != nil && time.Since(m.reported) >= m.every {
		m.reported = time.Now()
		m.report(m.done, m.total)
	}
	m.err = err
	return n, err
}
