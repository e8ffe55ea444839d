// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/panics"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// batchWidth is how many events of a batch are published at once.
const batchWidth = 4

// publishBatch publishes each event of a batch independently.
func (h *eventHandlers) publishBatch(ctx context.Context, in *PublishRequest, publisher batchPublisher, body []byte, answer *publishAnswer) error {
	if err := in.refuseIdempotencyKey(); err != nil {
		return problemFromPayload(err, nil)
	}
	items, err := payload.Items(body, wholeBody, maxBatchItems)
	if err != nil {
		return problemFromPayload(err, nil)
	}
	results := make([]rest.BatchResult, len(items))
	problems := make([]*problem, len(items))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(items), batchWidth) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				results[i], problems[i] = publisher.publishGuarded(ctx, in.request.Header, items[i])
			}
		})
	}
	wg.Wait()
	requestID, longest := requestInfoOf(ctx).id, 0
	for i, p := range problems {
		if p == nil {
			continue
		}
		answer.Status = http.StatusMultiStatus
		results[i].Problem.RequestID = requestID
		if seconds, err := strconv.Atoi(p.header.Get("Retry-After")); err == nil && seconds > longest {
			longest = seconds
			answer.RetryAfter = p.header.Get("Retry-After")
		}
	}
	answer.Body = &rest.BatchPublished{Results: results}
	return nil
}

// batchPublisher publishes the events of one batch: it holds the caller, namespace and
// preference that all of them share.
type batchPublisher struct {
	handlers   *eventHandlers
	caller     *auth.Caller
	namespace  string
	preference preference
}

// publishGuarded publishes one item and confines a panic to it: the other items, and other
// callers, are not affected.
func (b batchPublisher) publishGuarded(ctx context.Context, header http.Header, item []byte) (result rest.BatchResult, p *problem) {
	if err := b.handlers.panics.Do(panics.Event, func() { result, p = b.publishItem(ctx, header, item) }); err != nil {
		b.handlers.metrics.publish.Published(publish.OutcomeFailed)
		return refuseBatchItem(err)
	}
	return result, p
}

// publishItem publishes one item; the problem is nil if it is published.
func (b batchPublisher) publishItem(ctx context.Context, header http.Header, item []byte) (rest.BatchResult, *problem) {
	event, err := parseCloudEvent(item)
	if err != nil {
		b.handlers.metrics.publish.Published(publish.OutcomeRefused)
		return refuseBatchItem(problemFromPayload(err, nil))
	}
	applyTraceParent(event, header)
	published, err := b.handlers.publisher.Publish(ctx, publish.Request{Caller: b.caller, Namespace: b.namespace, Event: event, Wait: b.preference.wait})
	if err != nil {
		return refuseBatchItem(err)
	}
	return rest.BatchResult{Status: http.StatusAccepted, Published: presentPublished(published)}, nil
}

func refuseBatchItem(err error) (rest.BatchResult, *problem) {
	p := problemFromError(err)
	return rest.BatchResult{Status: p.Status, Problem: &p.Problem}, p
}
