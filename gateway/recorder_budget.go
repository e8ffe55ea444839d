// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// leastRefill is how many tokens a sharedBucket waits for before it shares them out. So
// much may be missing where a whole one is asked for.
const leastRefill = 0.1

// sharedBucket is a bucket that namespaces use together. What is missing from it counts
// for those that took it, and what comes back is shared out evenly among them. Beyond
// three quarters of the bucket a namespace gets another token only if it has taken no
// more then than is left: one alone has the whole rate, several have even parts of it,
// and a newcomer finds a token whatever the others take.
type sharedBucket struct {
	used   float64            // by all
	spaces map[string]float64 // by each that uses anything
	filled time.Time
}

func (b *sharedBucket) take(namespace string, rate, burst float64, now time.Time) bool {
	if tokens := rate * now.Sub(b.filled).Seconds(); tokens >= leastRefill {
		b.filled = now
		b.refill(tokens)
	}
	left, own := burst-b.used-1, b.spaces[namespace]
	if left <= -leastRefill || b.used >= burst*3/4 && own > 0 && own+1 > left {
		return false
	}
	if b.spaces == nil {
		b.spaces = map[string]float64{}
	}
	b.used++
	b.spaces[namespace]++
	return true
}

// refill brings tokens back. A namespace that uses less than its part leaves the rest
// to the others.
func (b *sharedBucket) refill(tokens float64) {
	for tokens > 0 && len(b.spaces) > 0 {
		part := tokens / float64(len(b.spaces))
		tokens = 0
		for namespace, used := range b.spaces {
			if used > part {
				b.spaces[namespace] = used - part
				b.used -= part
				continue
			}
			delete(b.spaces, namespace)
			b.used -= used
			tokens += part - used
		}
	}
	if len(b.spaces) == 0 {
		b.used = 0
	}
}
