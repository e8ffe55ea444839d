// SPDX-License-Identifier: Apache-2.0

// Package signature holds signing secrets without showing them, checks their
// grammar, makes new ones and signs deliveries: the project's own hex HMAC and
// Standard Webhooks 1.0.0.
//
// It never logs, never returns a secret but through [Secret.Reveal], and reads
// no clock or randomness of its own. It imports the standard library only, and
// every package that handles secrets may import it.
package signature
