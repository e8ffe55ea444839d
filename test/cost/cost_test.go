// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"fmt"
	"testing"
	"time"
)

// heard notes what a test would have failed with.
type heard struct {
	testing.TB

	said []string
}

func (h *heard) Helper() {}

func (h *heard) Errorf(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

var sink []byte

func TestWhatCostsTooMuchIsTold(t *testing.T) {
	most := Most{Bytes: 64 << 10, PerByte: 1, CPU: 20 * time.Millisecond}
	for name, c := range map[string]struct {
		f    func()
		want int
	}{
		"little":      {func() { sink = make([]byte, 16<<10) }, 0},
		"much memory": {func() { sink = make([]byte, 1<<20) }, 1},
		"much CPU": {func() {
			for began := threadTime(); threadTime()-began < 50*time.Millisecond && threadTime() > 0; {
				continue
			}
		}, min(1, int(threadTime()))},
		"a wait is no CPU": {func() { time.Sleep(30 * time.Millisecond) }, 0},
	} {
		h := &heard{TB: t}
		most.Within(h, 100, c.f)
		if len(h.said) != c.want {
			t.Errorf("%s: %q", name, h.said)
		}
	}
}
