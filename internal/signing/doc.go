// SPDX-License-Identifier: Apache-2.0

// Package signing says what the generated signing Secret of a Webhook looks
// like, and what becomes of it in a rotation. Manager and gateway both write
// that Secret; here is the one rule that both follow, so that whoever of them
// comes first, a request rotates once.
//
// It changes objects in memory and never talks to the API server; time and
// randomness are arguments. Controllers and gateway import it.
package signing
