// SPDX-License-Identifier: Apache-2.0

// Package profiling serves Go's profiles (net/http/pprof) on a loopback
// address, for a person with kubectl port-forward or on the same machine. It
// asks nobody for credentials, so it refuses every other address. Dispatcher
// and gateway import it; the manager has the same from controller-runtime.
package profiling
