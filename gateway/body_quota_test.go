// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"testing"
	"time"
)

const mebi = 1 << 20

// fixedQuota has 128 MiB: 16 for a caller, 32 for a namespace, 96 for large bodies.
func fixedQuota(now *time.Time) *bodyQuota {
	return newBodyQuota(128*mebi, func() time.Time { return *now })
}

func TestBodyQuota(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	one := bodyOwner{"system:serviceaccount:a:one", "a"}
	type body struct {
		owner bodyOwner
		bytes int64
		want  string
	}
	of := func(namespace string, n int) bodyOwner {
		return bodyOwner{fmt.Sprintf("system:serviceaccount:%s:%d", namespace, n), namespace}
	}
	var ofFour []body // fill what large bodies may have
	for _, namespace := range []string{"a", "b", "c"} {
		for n := range 2 {
			ofFour = append(ofFour, body{of(namespace, n), 8 * mebi, ""}, body{of(namespace, n), 8 * mebi, ""})
		}
	}
	tests := []struct {
		name   string
		bodies []body
	}{
		{"a caller has an eighth", []body{{one, 8 * mebi, ""}, {one, 8 * mebi, ""}, {one, 1, bodiesOfCaller}}},
		{"callers of one namespace have a quarter", []body{
			{of("a", 1), 16 * mebi, ""}, {of("a", 2), 16 * mebi, ""}, {of("a", 3), 1, bodiesOfNamespace}, {of("b", 1), 16 * mebi, ""},
		}},
		{"large bodies leave a quarter to small ones", append(ofFour,
			body{of("d", 1), smallBody + 1, bodiesOfReplica}, body{of("d", 1), smallBody, ""})},
		{"callers that are not known yet share an eighth", []body{{bodyOwner{}, 16 * mebi, ""}, {bodyOwner{}, 1, bodiesOfCaller}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := fixedQuota(&now)
			for i, b := range tt.bodies {
				if got := q.reserve(b.owner, b.bytes, b.bytes); got != b.want {
					t.Errorf("body %d of %d bytes: %q, want %q", i, b.bytes, got, b.want)
				}
			}
			for _, b := range tt.bodies {
				if b.want == "" {
					q.release(b.owner, b.bytes)
				}
			}
			if q.used != 0 || len(q.shares) != 0 {
				t.Errorf("%d bytes are left, of %v", q.used, q.shares)
			}
		})
	}
}

func TestRefusedCallerHasASmallQuota(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	q := fixedQuota(&now)
	one := bodyOwner{"system:serviceaccount:a:one", "a"}
	large := func() string {
		full := q.reserve(one, mebi, mebi)
		if full == "" {
			q.release(one, mebi)
		}
		return full
	}
	if full := large(); full != "" {
		t.Errorf("nothing is known of it: %q", full)
	}
	q.noteAnswer(one, false)
	if full := large(); full != bodiesOfRefused {
		t.Errorf("all its answers were refusals: %q", full)
	}
	if full := q.reserve(one, smallBody, smallBody); full != "" {
		t.Errorf("a small body: %q", full)
	}
	if full := q.reserve(one, 1, 1); full != bodiesOfRefused {
		t.Errorf("beyond a small body: %q", full)
	}
	q.release(one, smallBody)
	q.noteAnswer(one, true)
	if full := large(); full != "" {
		t.Errorf("one answer was none: %q", full)
	}
	now = now.Add(refusalPeriod - time.Second)
	q.noteAnswer(one, false)
	now = now.Add(time.Second)
	if full := large(); full != bodiesOfRefused {
		t.Errorf("of the last minute all were: %q", full)
	}
	now = now.Add(refusalPeriod)
	if full := large(); full != "" {
		t.Errorf("a minute later: %q", full)
	}
}

func TestIdleCallersAreEvicted(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	q := fixedQuota(&now)
	busy := bodyOwner{name: "busy"}
	q.reserve(busy, 1, 1)
	for n := range 3 * maxBodyCallers {
		q.noteAnswer(bodyOwner{name: fmt.Sprint(n)}, false)
	}
	if len(q.callers) > maxBodyCallers {
		t.Errorf("%d callers are remembered", len(q.callers))
	}
	if q.callers["busy"] == nil {
		t.Error("one with a body under way is forgotten")
	}
}
