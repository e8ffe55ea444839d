// SPDX-License-Identifier: Apache-2.0

// Package alerts tests that alerts and dashboard speak of metrics that there
// are, and that each alert has a runbook. That they fire when they should is
// tested by promtool, with alerts.yaml: make check-alerts.
package alerts
