// SPDX-License-Identifier: Apache-2.0

// Package collector takes traces as an OpenTelemetry collector does, over gRPC
// and HTTP, on real sockets, and keeps them for tests to look at. It speaks OTLP
// by the official protocol files and nothing of the library that sends.
package collector
