// SPDX-License-Identifier: Apache-2.0

// Package apiserver knows the addresses of the API server, which no webhook may
// reach. It reads the EndpointSlices of the Service kubernetes in the namespace
// default and nothing else. Manager and gateway import it.
package apiserver
