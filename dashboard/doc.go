// SPDX-License-Identifier: Apache-2.0

// Package dashboard serves pages on which people see and mend deliveries
// (docs/dashboard.md). Its files:
//
//	dashboard.go  what it consists of, and its routes
//	backend.go    what it asks the gateway for, beside the REST API
//	inprocess.go  the REST API, called without a network, as the caller
//	session.go    whose request it is: a cookie, or a proxy's header
//	signin.go     how the cookie comes and goes
//	guard.go      headers, other origins, sizes
//	page.go       a page is made, or an error
//	assets.go     style, script and fonts
//	overview.go   what needs attention
//	webhooks.go   the webhooks, with a plot of how they do
//	create.go     a new one, and its secret
//	webhook.go    one of them, with its deliveries
//	edit.go       it is changed
//	steer.go      it is suspended, resumed, enabled, rotated and deleted
//	try.go        it is sent a test event
//	delivery.go   one delivery
//	timeline.go   its attempts, drawn to scale
//	sent.go       what was sent, and how to verify it
//	explain.go    why it failed, and what to do
//	eventtypes.go the catalogue
//	live.go       pages hear that they are out of date
//	plot.go       shares and latencies, drawn
//	text.go       text of strangers, times and numbers, made fit to be shown
//
// It holds no rights: whatever a page shows or does is asked for with the token
// of whoever looks at it, and what changes anything goes through the REST API.
// It never writes a token or a secret to a page but the two that show a new
// secret, nor to a log or a URL. It imports the REST API's bodies and client,
// never Kubernetes; the gateway imports it.
package dashboard
