// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"iter"
)

// namespaceShare is the part of a namespace's quota that one webhook may use: a fifth.
const namespaceShare = 5

// BacklogLimits bound the unfinished deliveries, in number and in bytes of payload, and the writes of a namespace.
type BacklogLimits struct {
	// PerWebhook is the quota of one webhook, which also has at most a fifth of its namespace's quota.
	PerWebhook int
	// PerNamespace and PerNamespaceBytes are the quota of one namespace.
	PerNamespace      int
	PerNamespaceBytes int64
	// Cluster and ClusterBytes are the quota of all namespaces together.
	Cluster      int
	ClusterBytes int64
	// WritesPerNamespace is how many deliveries of one namespace are stored a second in the long run; writesBurst times
	// as many at once. One counts once more for each bytesPerWrite of its payload.
	WritesPerNamespace float64
	// WriteBytesPerNamespace is how many bytes of payload of one namespace are, or may have to be, stored a second;
	// writeBytesBurst times as many at once.
	WriteBytesPerNamespace int64
}

// DefaultBacklogLimits are 2,000 for a webhook, 10,000 and 256 MiB for a namespace,
// 100,000 and 1 GiB for the cluster, and 200 writes and 2 MiB a second for a
// namespace.
func DefaultBacklogLimits() BacklogLimits {
	return BacklogLimits{
		PerWebhook: 2_000, PerNamespace: 10_000, PerNamespaceBytes: 256 << 20,
		Cluster: 100_000, ClusterBytes: 1 << 30, WritesPerNamespace: 200, WriteBytesPerNamespace: 2 << 20,
	}
}

// QuotaRequest asks for a delivery to one webhook.
type QuotaRequest struct {
	Webhook      string // name
	WebhookID    string // webhook_id
	used         backlogUsage
	RefuseIfFull bool // spec.overflow is Refuse
}

// QuotaDecision is the answer to the quota requests of one event.
type QuotaDecision struct {
	Granted []QuotaRequest
	Full    []QuotaRequest // their webhooks are skipped
	Refused *QuotaError    // nil: the granted deliveries may be made
}

// quotaUsage is what is unfinished in all namespaces, in the requesting one, and in each of the others.
type quotaUsage struct {
	cluster, namespace backlogUsage
	others             iter.Seq[backlogUsage]
}

// decide decides which webhooks get a delivery of so many bytes. A namespace may use no more of the cluster's quota
// than is left free afterwards, see sharedQuota.
func (l BacklogLimits) decide(bytes int64, current quotaUsage, requests []QuotaRequest) QuotaDecision {
	var decision QuotaDecision
	var added backlogUsage
	if len(requests) > 0 && bytes > l.webhookByteQuota() {
		return QuotaDecision{Refused: newExceedsQuotaError(fmt.Sprintf(
			"the payload has %d bytes, and a webhook may have at most %d unfinished; send a reference to the content, or have the operator raise --backlog-bytes-per-namespace, of which this is a fifth", bytes, l.webhookByteQuota()))}
	}
	for _, w := range requests {
		if w.used.count+1 <= l.WebhookQuota() && w.used.bytes+bytes <= l.webhookByteQuota() {
			decision.Granted = append(decision.Granted, w)
			added.count++
			added.bytes += bytes
			continue
		}
		if w.RefuseIfFull {
			return QuotaDecision{Refused: &QuotaError{QuotaWebhookFull, fmt.Sprintf(
				"webhook %s has %d unfinished deliveries, its limit, and refuses events that it cannot take", w.WebhookID, w.used.count)}}
		}
		decision.Full = append(decision.Full, w)
	}
	namespace, after := current.namespace, current.namespace.plus(added)
	switch {
	case added.count == 0:
	case added.count > l.PerNamespace || added.bytes > l.PerNamespaceBytes || !l.clusterHasRoom(quotaUsage{others: noOtherBacklogUsage}, added):
		return QuotaDecision{Refused: newExceedsQuotaError(fmt.Sprintf(
			"%d webhooks want this event, with %d bytes in all, more than a namespace may ever have unfinished; send a reference to the content, or have the operator raise --backlog-per-namespace, --backlog-bytes-per-namespace, --backlog or --backlog-bytes", added.count, added.bytes))}
	case after.count > l.PerNamespace || after.bytes > l.PerNamespaceBytes:
		return QuotaDecision{Refused: &QuotaError{QuotaNamespaceFull, fmt.Sprintf(
			"the namespace has %d unfinished deliveries with %d bytes, at most %d with %d bytes may be", namespace.count, namespace.bytes, l.PerNamespace, l.PerNamespaceBytes)}}
	case !l.clusterHasRoom(current, after):
		return QuotaDecision{Refused: &QuotaError{QuotaClusterFull, "all namespaces together have many unfinished deliveries, and this one has its share of them"}}
	}
	return decision
}

// clusterHasRoom reports whether the cluster's quota admits that the namespace raises its use to after.
func (l BacklogLimits) clusterHasRoom(current quotaUsage, after backlogUsage) bool {
	counts := func(yield func(int64) bool) {
		current.others(func(u backlogUsage) bool { return yield(int64(u.count)) })
	}
	bytes := func(yield func(int64) bool) {
		current.others(func(u backlogUsage) bool { return yield(u.bytes) })
	}
	number := sharedQuota{limit: int64(l.Cluster), perNamespace: int64(l.PerNamespace), used: int64(current.cluster.count)}
	size := sharedQuota{limit: l.ClusterBytes, perNamespace: l.PerNamespaceBytes, used: current.cluster.bytes}
	return number.admits(int64(current.namespace.count), int64(after.count), counts) && size.admits(current.namespace.bytes, after.bytes, bytes)
}

// WebhookQuota is how many unfinished deliveries a webhook may have.
func (l BacklogLimits) WebhookQuota() int {
	return min(l.PerWebhook, max(1, l.PerNamespace/namespaceShare))
}

func (l BacklogLimits) webhookByteQuota() int64 { return l.PerNamespaceBytes / namespaceShare }

// noOtherBacklogUsage is a cluster in which no other namespace has anything unfinished.
func noOtherBacklogUsage(func(backlogUsage) bool) {}

// backlogReservations are deliveries that are being made: they count as if they existed, so that a burst does not
// overshoot the quota.
type backlogReservations struct {
	total      backlogUsage
	namespaces map[string]*namespaceReservations
}

type namespaceReservations struct {
	backlogUsage

	webhooks map[string]backlogUsage // by name
}

func (r *backlogReservations) add(namespace, webhook string, u backlogUsage, sign int) {
	n := r.namespaces[namespace]
	if n == nil {
		n = &namespaceReservations{webhooks: map[string]backlogUsage{}}
		r.namespaces[namespace] = n
	}
	w := n.webhooks[webhook]
	for _, changed := range []*backlogUsage{&r.total, &n.backlogUsage, &w} {
		changed.count += sign * u.count
		changed.bytes += int64(sign) * u.bytes
	}
	n.webhooks[webhook] = w
	if w.count == 0 {
		delete(n.webhooks, webhook)
	}
	if n.count == 0 {
		delete(r.namespaces, namespace)
	}
}

// ReserveQuota decides which webhooks get a delivery, and counts those until ReleaseQuota.
func (x *DeliveryIndex) ReserveQuota(limits BacklogLimits, namespace string, bytes int64, requests []QuotaRequest) (decision QuotaDecision) {
	x.Change(func() {
		n, r := x.namespaces[namespace], x.reserved.namespaces[namespace]
		for i := range requests {
			if n != nil && n.byWebhook[requests[i].Webhook] != nil {
				requests[i].used = n.byWebhook[requests[i].Webhook].backlogUsage
			}
			if r != nil {
				requests[i].used = requests[i].used.plus(r.webhooks[requests[i].Webhook])
			}
		}
		decision = limits.decide(bytes, quotaUsage{cluster: x.total.plus(x.reserved.total), namespace: x.namespaceBacklogUsage(namespace), others: x.otherBacklogUsage(namespace)}, requests)
		for _, granted := range decision.Granted {
			x.reserved.add(namespace, granted.Webhook, backlogUsage{count: 1, bytes: bytes}, 1)
		}
	})
	return decision
}

// namespaceBacklogUsage is what is unfinished or reserved in a namespace.
func (x *DeliveryIndex) namespaceBacklogUsage(namespace string) (u backlogUsage) {
	if n := x.namespaces[namespace]; n != nil {
		u = n.backlogUsage
	}
	if r := x.reserved.namespaces[namespace]; r != nil {
		u = u.plus(r.backlogUsage)
	}
	return u
}

// otherBacklogUsage is what is unfinished or reserved in each of the other namespaces.
func (x *DeliveryIndex) otherBacklogUsage(namespace string) iter.Seq[backlogUsage] {
	return func(yield func(backlogUsage) bool) {
		for name := range x.namespaces {
			if name != namespace && !yield(x.namespaceBacklogUsage(name)) {
				return
			}
		}
		for name, r := range x.reserved.namespaces {
			if name != namespace && x.namespaces[name] == nil && !yield(r.backlogUsage) {
				return
			}
		}
	}
}

// ReleaseQuota ends the reservation of one webhook.
func (x *DeliveryIndex) ReleaseQuota(namespace, webhook string, bytes int64) {
	x.Change(func() { x.reserved.add(namespace, webhook, backlogUsage{count: 1, bytes: bytes}, -1) })
}

// backlogUsage is what is unfinished.
type backlogUsage struct {
	count int
	bytes int64
}

func (u *backlogUsage) add(r *DeliveryEntry, sign int) {
	u.count += sign
	u.bytes += int64(sign) * r.Bytes
}

func (u backlogUsage) plus(other backlogUsage) backlogUsage {
	return backlogUsage{count: u.count + other.count, bytes: u.bytes + other.bytes}
}
