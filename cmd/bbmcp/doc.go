// SPDX-License-Identifier: Apache-2.0

// Command bbmcp manages webhooks, looks at deliveries and publishes events over
// the REST API, from a terminal or a script.
//
// It holds wiring only; the commands are in package internal/cli.
package main
