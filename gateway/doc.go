// SPDX-License-Identifier: Apache-2.0

// Package gateway serves the REST API (docs/rest.md) and the dashboard: it routes
// requests, reads them, presents what its rooms return, and turns their errors into
// problems. Package auth knows the callers, package store the objects, package publish
// publishes events.
//
// With its own rights the gateway asks who callers are, reads what it serves and the
// secrets of first attempts, and creates deliveries. Everything that changes a webhook is
// done with the caller's token.
//
// It never decides about retries or the state of a webhook: the controllers do. It never
// imports controllers, and never writes a token, a secret or a payload to a log. Of the
// product only internal/app imports it.
package gateway
