// SPDX-License-Identifier: Apache-2.0

// Package publish takes events through the stages of publishing, in the order that
// publisher.go shows: an event is checked, compared with what exists under its id, given
// a first attempt for each webhook that matches it, and stored where that is not enough.
//
// With the gateway's own rights it reads the secrets of first attempts, creates
// deliveries and writes the outcomes of attempts that it handed over. It never decides
// about retries or the state of a webhook, never writes a token, a secret or a payload to
// a log, and knows no HTTP: its errors are typed, and package gateway turns them into
// problems. Gateway and internal/app import it.
package publish
