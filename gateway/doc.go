// SPDX-License-Identifier: Apache-2.0

// Package gateway serves the REST API (docs/rest.md). Its files:
//
//	gateway.go    what it consists of
//	api.go        its operations
//	path.go       at whole paths,
//	transport_security.go over TLS if it came so
//	request_ambiguous.go unless it can be read in more than one way
//	fresh.go      whether what is in memory is the present
//	identify.go   who calls: TokenReview, cached
//	authorize.go  what they may: SubjectAccessReview, cached
//	caller.go     requests to the API server with the caller's own token
//	problem.go    every error, as problem+json
//	problem_denied.go and what policies, quotas and ending namespaces refuse
//	endpoints.go  the webhooks, in memory
//	ledger.go     the deliveries, in memory, without their payloads
//	catalogue.go  the event types, in memory
//	webhooks.go   webhooks are listed and read
//	declare.go    a webhook is created, with its secret
//	webhook_settings.go its settings, as requests have them
//	webhook_warnings.go what its caller is warned of,
//	webhook_secret_url.go as of a url that is a secret
//	change.go     it is changed
//	apply.go      by server-side apply, which says whose a field is
//	field_owners.go and refuses what is not the caller's
//	etag.go       if it is as the caller has seen it
//	steer.go      it is suspended, resumed, enabled and deleted
//	rotate.go     its secret is rotated
//	try.go        it is sent a test event
//	events.go     the operation that publishes, as the OpenAPI document has it
//	receive.go    a request with events is read
//	request_body.go its body,
//	body_quota.go within what all may have in memory
//	envelope.go   an event in JSON
//	cloudevents.go and one as a CloudEvent
//	publish.go    an event is checked,
//	publish_recall.go and compared with what exists of it
//	limits.go     who gets a delivery of it
//	share.go      and how namespaces share what they have together
//	terminating.go none in a namespace that is being deleted
//	skips.go      the manager is told who gets none
//	backlog.go    how much is unfinished, as figures
//	prefer.go     how long its publisher waits
//	deliver.go    every webhook gets its delivery
//	first.go      by a first attempt
//	slots.go      if it is worth one,
//	slot_share.go of those that namespaces share,
//	line.go       in its turn where all are taken,
//	hung.go       and not where the endpoint hangs
//	handover.go   which is handed over if it takes long
//	attempt_unstored.go not again where its delivery could not be stored,
//	window.go     and remembered if it succeeds,
//	hooksets.go   with who got it
//	records.go    and recorded,
//	record_budget.go within a budget that namespaces share,
//	record_queue.go in their turns
//	webhook_forget.go what is known of a webhook goes with it
//	fanout.go     one delivery is created
//	namespace_semaphore.go large ones one after the other,
//	write_budget.go within what its namespace may have stored,
//	storing.go    a few at a time where the endpoint fails or is slow
//	batch.go      many events at once
//	deliveries.go deliveries are listed and read
//	retry.go      a delivery is attempted again
//	eventtypes.go the catalogue is listed
//	pages.go      the dashboard, and what it is told beside the REST API
//	standing.go   how webhooks do
//	news.go       pages hear of changes
//	cursor.go     where the next page begins
//	accesslog.go  one line for each request
//	metrics.go    and what is counted
//
// With its own rights the gateway asks who callers are, reads what it serves and
// the secrets of first attempts, and creates deliveries; everything that changes a webhook is done with the
// caller's token. It never imports controllers, and never writes a token, a
// secret or a payload to a log.
package gateway
