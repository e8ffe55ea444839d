// SPDX-License-Identifier: Apache-2.0

package release

import (
	"fmt"
	"hash"
	"io"
	"time"
)

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
		m.err = fmt.Errorf("more than the %s that are allowed", FormatMiB(m.limit))
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

// FormatMiB writes a number of bytes for people.
func FormatMiB(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
