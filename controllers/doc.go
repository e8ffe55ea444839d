// SPDX-License-Identifier: Apache-2.0

// Package controllers holds the reconcilers of the manager, one per kind:
// Webhook, WebhookDelivery and EventType. Each is the only writer of the status
// of its kind. Files carry the kind in front of their names.
//
// A reconcile never waits for an endpoint: attempts run in internal/attempt.
// The package never opens a connection to anything but the API server and the
// dispatcher's socket. Of the product only internal/app imports it.
package controllers
