// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// slowBody takes a while for each byte.
type slowBody struct{ each time.Duration }

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.each)
	return copy(p, "x"), nil
}

func TestOnlyTimeThatTheHostTakesIsSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		body   io.Reader
		report time.Duration
		silent bool
	}{
		"a caller that takes longer than a host may": {bytes.NewReader(make([]byte, 10)), time.Minute, false},
		"a host that takes too long in two parts":    {slowBody{6 * time.Second}, 0, true},
		"such a host and a caller that is slow too":  {slowBody{6 * time.Second}, time.Minute, true},
		"a host that is in time":                     {slowBody{4 * time.Second}, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, w := newWatchdog(t.Context(), 10*time.Second)
				defer w.stop()
				m := &meter{
					body: tc.body, hash: sha256.New(), watchdog: w, limit: 1 << 20,
					report: func(_, _ int64) { time.Sleep(tc.report) },
				}
				for range 2 {
					if _, err := m.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if got := ctx.Err() != nil; got != tc.silent {
					t.Errorf("silent: %t, %v", got, context.Cause(ctx))
				}
			})
		})
	}
}
