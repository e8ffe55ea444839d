// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// BenchmarkAcquire is what a first attempt costs in the limiter: a slot of one of 1,000 webhooks while 100 others are
// under way, and its result.
func BenchmarkAcquire(b *testing.B) {
	l := newLimiter(512, 64, 128, time.Second)
	webhooks := make([]*v1alpha1.Webhook, 1000)
	for i := range webhooks {
		name := fmt.Sprintf("team-%d/w%d", i%20, i)
		webhooks[i] = webhookNamed(name, endpointURL(name))
	}
	now, result := time.Now(), succeededResult()
	for _, webhook := range webhooks[:100] {
		if s, reason := l.acquire(webhook, now, nil); s == nil {
			b.Fatal(reason)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s, reason := l.acquire(webhooks[i%len(webhooks)], now, nil)
		if s == nil {
			b.Fatal(reason)
		}
		l.releaseWithResult(s, &result, time.Millisecond, now)
	}
}
