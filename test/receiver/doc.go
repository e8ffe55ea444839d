// SPDX-License-Identifier: Apache-2.0

// Package receiver is a webhook receiver that follows a script: it answers,
// hangs, resets, throttles or misbehaves as a test asks, checks every signature
// on its own and counts what arrived.
//
// It serves all test suites and, as a process of its own, hack/receiver. It
// shares no code with what it tests: signatures are checked here with the
// standard library and the Standard Webhooks library. Nothing that ships may
// import it.
package receiver
