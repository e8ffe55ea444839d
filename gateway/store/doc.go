// SPDX-License-Identifier: Apache-2.0

// Package store holds in memory what the gateway reads: webhooks, deliveries and event
// types, each indexed as it is looked up. It reserves backlog quota, says how stale all of
// it may be, and tells subscribers of changes, never under a lock.
//
// It knows no HTTP and no caller, and never writes to the API server. Its errors are
// typed; package gateway turns them into problems. Gateway and internal/app import it.
package store
