// SPDX-License-Identifier: Apache-2.0

package publish

import "time"

// minRefill is how many tokens sharedRecordBudget accumulates before it distributes them. As much may be missing from a
// whole token.
const minRefill = 0.1

// sharedRecordBudget is a token bucket that namespaces share. Tokens that were taken count against the namespaces that
// took them, and returning tokens are distributed evenly among these. Beyond three quarters of the bucket a namespace
// gets another token only if it has taken no more afterwards than are left. So a namespace alone has the whole rate,
// several have even parts of it, and a newcomer finds a token in any case.
type sharedRecordBudget struct {
	used            float64            // by all namespaces
	usedByNamespace map[string]float64 // without those that use none
	filled          time.Time
}

func (b *sharedRecordBudget) take(namespace string, rate, burst float64, now time.Time) bool {
	if tokens := rate * now.Sub(b.filled).Seconds(); tokens >= minRefill {
		b.filled = now
		b.refill(tokens)
	}
	left, own := burst-b.used-1, b.usedByNamespace[namespace]
	if left <= -minRefill || b.used >= burst*3/4 && own > 0 && own+1 > left {
		return false
	}
	if b.usedByNamespace == nil {
		b.usedByNamespace = map[string]float64{}
	}
	b.used++
	b.usedByNamespace[namespace]++
	return true
}

// refill returns tokens. A namespace that uses less than its part leaves the rest to the others.
func (b *sharedRecordBudget) refill(tokens float64) {
	for tokens > 0 && len(b.usedByNamespace) > 0 {
		part := tokens / float64(len(b.usedByNamespace))
		tokens = 0
		for namespace, used := range b.usedByNamespace {
			if used > part {
				b.usedByNamespace[namespace] = used - part
				b.used -= part
				continue
			}
			delete(b.usedByNamespace, namespace)
			b.used -= used
			tokens += part - used
		}
	}
	if len(b.usedByNamespace) == 0 {
		b.used = 0
	}
}
