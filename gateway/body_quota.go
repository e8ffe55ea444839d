// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
)

const (
	// smallBody is the size up to which a body counts as small: large ones leave a quarter
	// of the quota to small ones. It is also the whole quota of a caller without rights.
	smallBody = 64 << 10
	// minBodyBytes is the smallest quota: large batches have to fit.
	minBodyBytes = 4 * maxBatchBytes
	// refusalPeriod is how long a refusal reduces the quota of a caller.
	refusalPeriod = time.Minute
	// maxBodyCallers bounds the callers that are tracked.
	maxBodyCallers = 10_000
)

// Bounds of the quota, for the metric.
const (
	bodiesOfReplica   = "replica"
	bodiesOfNamespace = "namespace"
	bodiesOfCaller    = "caller"
	bodiesOfRefused   = "refused"
)

// bodyQuota bounds the bytes of request bodies that are in memory: of the replica, of all
// ServiceAccounts of a namespace (a quarter of that), of a caller (an eighth), and of a
// caller whose latest requests were all refused (smallBody).
type bodyQuota struct {
	maxBytes int64
	now      func() time.Time

	mu      sync.Mutex
	used    int64
	shares  map[string]int64 // used by the ServiceAccounts of a namespace
	callers map[string]*bodyCaller
}

// bodyCaller is the usage of one caller.
type bodyCaller struct {
	used                 int64
	grantedAt, refusedAt time.Time // the latest answer of each kind
}

func newBodyQuota(limit int64, now func() time.Time) *bodyQuota {
	return &bodyQuota{maxBytes: max(limit, minBodyBytes), now: now, shares: map[string]int64{}, callers: map[string]*bodyCaller{}}
}

// bodyOwner is the caller to whom bodies are attributed; the zero value: callers that are
// not authenticated yet.
type bodyOwner struct{ name, namespace string }

func bodyOwnerOf(caller *auth.Caller) bodyOwner {
	if caller == nil {
		return bodyOwner{}
	}
	return bodyOwner{name: caller.Name(), namespace: caller.Namespace}
}

// reserve counts more bytes of a body of a known or expected size, or returns the bound
// that they exceed and counts nothing.
func (q *bodyQuota) reserve(owner bodyOwner, bytes, whole int64) (bound string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	caller := q.caller(owner)
	limit := q.maxBytes
	if whole > smallBody {
		limit -= limit / 4
	}
	switch {
	case caller.isRefused(q.now()) && caller.used+bytes > smallBody:
		return bodiesOfRefused
	case caller.used+bytes > max(q.maxBytes/8, maxBatchBytes):
		return bodiesOfCaller
	case owner.namespace != "" && q.shares[owner.namespace]+bytes > max(q.maxBytes/4, maxBatchBytes):
		return bodiesOfNamespace
	case q.used+bytes > limit:
		return bodiesOfReplica
	}
	q.add(owner, caller, bytes)
	return ""
}

func (q *bodyQuota) add(owner bodyOwner, caller *bodyCaller, bytes int64) {
	q.used += bytes
	caller.used += bytes
	if owner.namespace == "" {
		return
	}
	if q.shares[owner.namespace] += bytes; q.shares[owner.namespace] == 0 {
		delete(q.shares, owner.namespace)
	}
}

// release returns reserved bytes.
func (q *bodyQuota) release(owner bodyOwner, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(owner, q.caller(owner), -bytes)
}

// noteAnswer records whether a caller's request was granted.
func (q *bodyQuota) noteAnswer(owner bodyOwner, granted bool) {
	if owner.name == "" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if caller := q.caller(owner); granted {
		caller.grantedAt = q.now()
	} else {
		caller.refusedAt = q.now()
	}
}

func (q *bodyQuota) caller(owner bodyOwner) *bodyCaller {
	caller := q.callers[owner.name]
	if caller == nil {
		if len(q.callers) >= maxBodyCallers {
			q.evictCallers()
		}
		caller = &bodyCaller{}
		q.callers[owner.name] = caller
	}
	return caller
}

// evictCallers drops callers without usage or refusals, and if these are few, other idle
// callers.
func (q *bodyQuota) evictCallers() {
	now := q.now()
	for name, caller := range q.callers {
		if caller.used == 0 && (!caller.isRefused(now) || len(q.callers) > maxBodyCallers*3/4) {
			delete(q.callers, name)
		}
	}
}

// isRefused reports whether all answers of the last minute were refusals, of which
// there is one.
func (c *bodyCaller) isRefused(now time.Time) bool {
	return now.Sub(c.refusedAt) < refusalPeriod && now.Sub(c.grantedAt) >= refusalPeriod
}

// bodyQuotaProblem is the problem of a body that exceeds a bound.
func bodyQuotaProblem(bound string, owner bodyOwner) *problem {
	detail, wait := "this replica has as many bytes of requests in memory as it may; try again", retryShortly
	switch bound {
	case bodiesOfNamespace:
		detail = fmt.Sprintf("the ServiceAccounts of namespace %s have as many bytes of requests under way here as they may; send fewer at a time", owner.namespace)
	case bodiesOfCaller:
		detail = fmt.Sprintf("%s has as many bytes of requests under way here as it may; send fewer at a time", owner.name)
		if owner.name == "" {
			detail = "as many bytes of requests without a key are under way here as may be; try again"
		}
	case bodiesOfRefused:
		detail = fmt.Sprintf("%s got nothing but refusals within a minute, so it may have %d bytes of requests under way; get the right first, bbmcp-publisher gives that to publish", owner.name, smallBody)
		wait = refusalPeriod
	}
	return newProblem(http.StatusServiceUnavailable, reasonOverloaded, detail).setRetryAfter(wait)
}
