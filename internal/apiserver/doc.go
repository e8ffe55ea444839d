// SPDX-License-Identifier: Apache-2.0

// Package apiserver knows the addresses of the API server, which no webhook may
// reach: those that its clients are told to use, from the start, and those in the
// EndpointSlices of the Service kubernetes in the namespace default. It reads
// nothing else. Manager and gateway import it.
package apiserver
