// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, mode   string
		total, width int
		steps        []int // events done, a second each
		want         string
	}{
		{"a bar", reportBar, 200, 80, []int{50, 200}, "" +
			"\r\x1b[K[##########..............................]  25% 50/200 events, 50/s" +
			"\r\x1b[K[########################################] 100% 200/200 events, 100/s\n"},
		{"a bar with what is left", reportBar, 100, 80, []int{1, 20}, "" +
			"\r\x1b[K[........................................]   1% 1/100 events, 1/s" +
			"\r\x1b[K[########................................]  20% 20/100 events, 10/s, 8s left\n"},
		{"a narrow terminal", reportBar, 200, 30, []int{100}, "\r\x1b[K 50% 100/200 events, 100/s\n"},
		{"a bar of unknown length", reportBar, 0, 80, []int{7}, "\r\x1b[K7 events, 7/s\n"},
		{"lines at each tenth", reportPlain, 100, 0, []int{5, 10, 15, 30, 31}, "10/100 events, 5/s\n30/100 events, 8/s\n"},
		{"lines every five seconds", reportPlain, 0, 0, []int{1, 2, 3, 4, 5, 6}, "5 events, 1/s\n"},
		{"nothing", reportNone, 10, 80, []int{5, 10}, ""},
		{"lines where there is no terminal", reportAuto, 10, 0, []int{10}, "10/10 events, 10/s\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			now := time.Unix(0, 0)
			p, err := newProgress(&out, test.mode, test.total, func() time.Time { return now })
			if err != nil {
				t.Fatal(err)
			}
			p.width = func() int { return test.width }
			s := &publishSummary{}
			for _, done := range test.steps {
				now = now.Add(time.Second)
				s.published = done
				p.show(s)
			}
			p.end()
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := newProgress(nil, "loud", 0, time.Now); err == nil {
		t.Error("a mode that does not exist: no error")
	}
}
