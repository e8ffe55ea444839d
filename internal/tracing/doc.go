// SPDX-License-Identifier: Apache-2.0

// Package tracing makes the spans of OpenTelemetry for manager and gateway: one
// for each event that is published, one for each attempt, linked to it over
// retries and restarts by the traceParent that a delivery carries.
//
// It is off unless the environment names a collector, and then costs nothing. No
// payload, secret, header, URL path or text of an endpoint is ever in a span: only
// names, numbers and reasons from closed sets. It sets no global of OpenTelemetry,
// so that no library begins to make spans of its own.
//
// The gateway and internal/app import it. It imports the dispatcher's types and
// no Kubernetes.
package tracing
