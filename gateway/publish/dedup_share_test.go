// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"testing"
	"time"
)

// succeededAttemptIn is a first attempt that succeeded in a namespace.
func succeededAttemptIn(namespace, eventID string) *firstAttempt {
	a := succeededAttempt("a", eventID)
	a.draft.webhook.Namespace = namespace
	return a
}

func TestFloodOfIDsPushesOutNoneOfAnotherNamespace(t *testing.T) {
	const most, kept = 4000, 100
	for name, limits := range map[string]DedupLimits{
		"too many ids":   {Duration: time.Minute, Events: most, Bytes: 1 << 40},
		"too many bytes": {Duration: time.Minute, Events: 10 * most, Bytes: 2 * most * rememberedEventBytes},
	} {
		for _, floods := range []int{1, 3, 20} {
			t.Run(fmt.Sprint(name, " in ", floods, " namespaces"), func(t *testing.T) {
				now := time.Unix(1000, 0)
				w := newDedupWindow(limits, func() time.Time { return now })
				for i := range 4 * most {
					if i%most == 0 {
						now = now.Add(time.Second)
					}
					w.remember(succeededAttemptIn(fmt.Sprint("flood-", i%floods), fmt.Sprint(i)))
					if i < kept {
						w.remember(succeededAttemptIn("modest", fmt.Sprint(i)))
					}
				}
				for i := range kept {
					if past, _ := w.find("modest", fmt.Sprint(i)); past == nil {
						t.Fatalf("of the other namespace's %d ids number %d is forgotten after %s", kept, i, now.Sub(time.Unix(1000, 0)))
					}
				}
				for i := 4*most - most/4; i < 4*most; i++ {
					if past, _ := w.find(fmt.Sprint("flood-", i%floods), fmt.Sprint(i)); past == nil {
						t.Fatalf("of the last %d ids of those that flood it number %d is forgotten", most/4, i)
					}
				}
			})
		}
	}
}

func TestIDsExpireWithoutNewOnes(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newDedupWindow(DedupLimits{Duration: time.Minute, Events: 1000, Bytes: 1 << 30}, func() time.Time { return now })
	for i := range 10 {
		w.remember(succeededAttemptIn(fmt.Sprint("once-", i), "x"))
	}
	for range 8 {
		now = now.Add(20 * time.Second)
		w.remember(succeededAttemptIn("often", now.String()))
	}
	if past, _ := w.find("once-1", "x"); past != nil {
		t.Error("an id is remembered for more than twice as long as it should be")
	}
}
