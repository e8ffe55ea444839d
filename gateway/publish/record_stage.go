// SPDX-License-Identifier: Apache-2.0

package publish

import "bbmcp.quietstack.com/webhooks/gateway/store"

// recordStage remembers the deliveries whose first attempts succeeded, and has the recorder store some of them.
type recordStage struct {
	window   *dedupWindow
	recorder *recorder
}

// run adds the deliveries whose first attempts succeeded to the answer, and returns the other targets and those that
// must be stored all the same.
func (r *recordStage) run(s *eventScope, attempted []*target) (left []*target) {
	var delivered []*firstAttempt
	for _, t := range attempted {
		if t.attempt.hasSucceeded() && !t.attempt.mustRecord() {
			delivered = append(delivered, t.attempt)
		} else {
			left = append(left, t)
		}
	}
	r.window.remember(delivered...) // before any of them waits for its record
	for _, a := range delivered {
		s.addDelivery(a.indexEntry())
		r.recorder.offer(a)
	}
	return left
}

// recordLate is run for one delivery whose first attempt has succeeded after all.
func (r *recordStage) recordLate(s *eventScope, a *firstAttempt) *store.DeliveryEntry {
	entry := a.indexEntry()
	s.addDelivery(entry)
	r.window.remember(a)
	r.recorder.offer(a)
	return entry
}
