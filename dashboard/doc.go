// SPDX-License-Identifier: Apache-2.0

// Package dashboard serves HTML pages on which people find, understand and repair
// deliveries (docs/dashboard.md). The gateway imports it, nothing else does.
//
// The package holds no rights of its own: it reads with the token of the page's
// viewer, and every change goes through the REST API. It never writes a token or a
// signing secret to a log or a URL, nor to a page, except to the two pages that show
// a new secret. It imports the REST API's bodies and its client, never Kubernetes.
package dashboard
