// SPDX-License-Identifier: Apache-2.0

// Package httpserver is net/http's server with bounds on what a peer costs, known
// or unknown: connections, header bytes, the time that headers, bodies and answers
// take, requests under way and at work, answers that are not taken, and frames of HTTP/2 that
// belong to no request. Every listener of HTTP on TCP in this project uses it: the REST API,
// metrics, probes and profiles.
//
// It knows nothing of what is served, and never logs a request.
package httpserver
