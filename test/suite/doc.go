// SPDX-License-Identifier: Apache-2.0

// Package suite is what the suites of gateway, dashboard and processes have in
// common: one cluster for all specs, namespaces and accounts in it, and how long
// Eventually waits. It knows no spec; only tests import it.
package suite
