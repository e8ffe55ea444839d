// SPDX-License-Identifier: Apache-2.0

// Package client talks to the REST API of BB-MCP Webhooks: it manages
// webhooks, looks at deliveries and publishes events. Requests and answers are
// the types of package api/rest.
//
// What may safely be repeated is repeated when the server asks for it or the
// network fails, a bounded number of times. The token goes to the host of the
// base URL and nowhere else: redirects are not followed. The package logs
// nothing and keeps nothing between calls but connections.
//
// It imports the standard library and api/rest only; everyone may import it.
package client
