// SPDX-License-Identifier: Apache-2.0

// Package controllers holds the reconcilers of the manager. Its file list is
// the life of a delivery:
//
//	declare.go   a Webhook is declared: Reconcile of Webhooks
//	rotate.go    its generated secret is made and rotated
//	judge.go     what its conditions and state are (pure)
//	register.go  an EventType enters the catalogue
//	deliver.go   a WebhookDelivery appears: Reconcile of deliveries
//	fold.go      what has happened becomes its status (pure)
//	decide.go    what to do with it next (pure)
//	prepare.go   what an attempt needs is read, at attempt time
//	sign.go      the signing secrets, read by name
//	pace.go      results get in line to be written
//	settle.go    the result is written, then counted
//	remember.go  what we wrote and the cache does not show yet
//	observe.go   outcomes become the health of the webhook
//	shelve.go    finished deliveries wait for their end
//	retain.go    and are deleted
//
// A reconcile never waits for an endpoint: attempts run in internal/attempt.
// The package never opens a connection to anything but the API server and the
// dispatcher's socket. Only main.go imports it.
package controllers
