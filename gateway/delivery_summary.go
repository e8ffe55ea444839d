// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"

	"github.com/google/btree"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// maxExamined bounds the deliveries that are examined to find the latest failed one.
const maxExamined = 200

// webhookSummary is what the index tells of one webhook. Test events do not count.
type webhookSummary struct {
	unfinished  int
	recent      []*deliveryEntry // finished, the oldest first
	latestError string           // of the newest delivery that has not succeeded
}

// summarizeWebhook summarizes the deliveries of a webhook, with so many of the latest finished ones.
func (x *deliveryIndex) summarizeWebhook(namespace, webhook string, recent int) (summary webhookSummary) {
	x.View(func() {
		n := x.namespaces[namespace]
		if n == nil || n.byWebhook[webhook] == nil {
			return
		}
		w, examined := n.byWebhook[webhook], 0
		summary.unfinished = w.count
		w.finished.Ascend(func(r *deliveryEntry) bool {
			if !r.test {
				summary.recent = append(summary.recent, r)
			}
			return len(summary.recent) < recent
		})
		w.listed.Ascend(func(r *deliveryEntry) bool {
			examined++
			if r.state != v1alpha1.DeliverySucceeded && !r.test {
				summary.latestError = r.errorMessage
			}
			return summary.latestError == "" && examined < maxExamined
		})
	})
	slices.Reverse(summary.recent)
	return summary
}

// namespaceSummary is what the index tells of one namespace.
type namespaceSummary struct {
	unfinished      int
	unfinishedBytes int64            // of their payloads
	oldest          []*deliveryEntry // that have waited longest
	failed          []*deliveryEntry // that failed last
}

// summarizeNamespace summarizes the deliveries of a namespace, with so many of each kind.
func (x *deliveryIndex) summarizeNamespace(namespace string, each int) (summary namespaceSummary) {
	first := func(tree *btree.BTreeG[*deliveryEntry]) (list []*deliveryEntry) {
		tree.Ascend(func(r *deliveryEntry) bool {
			list = append(list, r)
			return len(list) < each
		})
		return list
	}
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			summary = namespaceSummary{unfinished: n.count, unfinishedBytes: n.bytes, oldest: first(n.unfinished), failed: first(n.failed)}
		}
	})
	return summary
}

// countUnfinished is how many deliveries of all namespaces are unfinished, and the bytes of their payloads.
func (x *deliveryIndex) countUnfinished() (deliveries int, bytes int64) {
	x.View(func() { deliveries, bytes = x.total.count, x.total.bytes })
	return deliveries, bytes
}

// countPendingOutcomes is how many deliveries of a namespace have succeeded without the controller having written it.
func (x *deliveryIndex) countPendingOutcomes(namespace string) (n int) {
	x.View(func() {
		if of := x.namespaces[namespace]; of != nil {
			n = of.pendingOutcomes
		}
	})
	return n
}
