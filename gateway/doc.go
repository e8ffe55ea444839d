// SPDX-License-Identifier: Apache-2.0

// Package gateway serves the REST API (docs/rest.md) and the dashboard, and publishes
// events: each event is checked, compared with what exists under its id, given a first
// attempt for each webhook that wants it, and stored where that is not enough.
//
// With its own rights the gateway asks who callers are, reads what it serves and the
// secrets of first attempts, and creates deliveries. Everything that changes a webhook is
// done with the caller's token.
//
// It never decides about retries or the state of a webhook: the controllers do. It never
// imports controllers, and never writes a token, a secret or a payload to a log. Of the
// product only internal/app imports it.
package gateway
