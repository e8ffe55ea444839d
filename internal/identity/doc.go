// SPDX-License-Identifier: Apache-2.0

// Package identity computes the ids by which the REST API and the wire know
// webhooks and deliveries. They follow from what the objects are, so they are
// known before a controller has seen the object and survive a restore.
//
// It is pure, reads no clock and no randomness, and everyone may import it.
package identity
