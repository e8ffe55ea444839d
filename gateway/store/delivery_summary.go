// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"

	"github.com/google/btree"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// maxExamined bounds the deliveries that are examined to find the latest failed one.
const maxExamined = 200

// WebhookSummary is what the index tells of one webhook. Test events do not count.
type WebhookSummary struct {
	Unfinished  int
	Recent      []*DeliveryEntry // finished, the oldest first
	LatestError string           // of the newest delivery that has not succeeded
}

// SummarizeWebhook summarizes the deliveries of a webhook, with so many of the latest finished ones.
func (x *DeliveryIndex) SummarizeWebhook(namespace, webhook string, recent int) (summary WebhookSummary) {
	x.View(func() {
		n := x.namespaces[namespace]
		if n == nil || n.byWebhook[webhook] == nil {
			return
		}
		w, examined := n.byWebhook[webhook], 0
		summary.Unfinished = w.count
		w.finished.Ascend(func(r *DeliveryEntry) bool {
			if !r.Test {
				summary.Recent = append(summary.Recent, r)
			}
			return len(summary.Recent) < recent
		})
		w.listed.Ascend(func(r *DeliveryEntry) bool {
			examined++
			if r.State != v1alpha1.DeliverySucceeded && !r.Test {
				summary.LatestError = r.ErrorMessage
			}
			return summary.LatestError == "" && examined < maxExamined
		})
	})
	slices.Reverse(summary.Recent)
	return summary
}

// NamespaceSummary is what the index tells of one namespace.
type NamespaceSummary struct {
	Unfinished      int
	UnfinishedBytes int64            // of their payloads
	Oldest          []*DeliveryEntry // that have waited longest
	Failed          []*DeliveryEntry // that failed last
}

// SummarizeNamespace summarizes the deliveries of a namespace, with so many of each kind.
func (x *DeliveryIndex) SummarizeNamespace(namespace string, each int) (summary NamespaceSummary) {
	first := func(tree *btree.BTreeG[*DeliveryEntry]) (list []*DeliveryEntry) {
		tree.Ascend(func(r *DeliveryEntry) bool {
			list = append(list, r)
			return len(list) < each
		})
		return list
	}
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			summary = NamespaceSummary{Unfinished: n.count, UnfinishedBytes: n.bytes, Oldest: first(n.unfinished), Failed: first(n.failed)}
		}
	})
	return summary
}
