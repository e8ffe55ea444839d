// SPDX-License-Identifier: Apache-2.0

// Package controllers holds the reconcilers of the manager. Its file list is
// the life of a delivery:
//
//	declare.go   a Webhook is declared: Reconcile of Webhooks
//	rotate.go    its generated secret is made and rotated
//	judge.go     what its conditions and state are (pure)
//	turns.go     counters are written one webhook after the other
//	register.go  an EventType enters the catalogue
//	cache.go     what of each delivery is kept in memory
//	fill.go      and that work begins before all of them are read
//	deliver.go   a WebhookDelivery appears: Reconcile of deliveries
//	wake.go      and is looked at again when something happened,
//	pace.go      a few at a time
//	fold.go      what has happened becomes its status (pure)
//	decide.go    what to do with it next (pure)
//	adopt.go     one applied by hand comes to belong to its Webhook
//	prepare.go   what an attempt needs is read, at attempt time
//	sender.go    and no attempt ends the process
//	settle.go    the result is written, then counted
//	remember.go  what we wrote and the cache does not show yet
//	observe.go   outcomes become the health of the webhook
//	announce.go  and its owner is told by Kubernetes Events
//	shelve.go    finished deliveries wait for their end
//	retain.go    and are deleted
//	forget.go    a webhook is gone, and what was kept of it
//	drain.go     the process ends and loses nothing
//	metrics.go   and what is counted
//
// A reconcile never waits for an endpoint: attempts run in internal/attempt.
// The package never opens a connection to anything but the API server and the
// dispatcher's socket. Only main.go imports it.
package controllers
