// SPDX-License-Identifier: Apache-2.0

// Package auth knows the callers of the gateway: it authenticates their tokens,
// authorizes what they do, and makes requests to the API server with their tokens.
//
// Its errors are typed; package gateway, the only importer, turns them into problems.
// It never answers an HTTP request, never reads an object of this project, and never
// lends a caller the gateway's own rights.
package auth
