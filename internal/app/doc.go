// SPDX-License-Identifier: Apache-2.0

// Package app starts the roles of the operator in a process: options and wiring of
// manager and gateway, clients of the API server, lease, probes, metrics and logging.
//
// It makes no decision about a webhook or a delivery. The main package and tests import
// it; controllers and gateway never do.
package app
