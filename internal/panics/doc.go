// SPDX-License-Identifier: Apache-2.0

// Package panics keeps a panic over one input, a request, an event, an object,
// from ending the process for all others. A goroutine that handles input runs
// under a Guard, which counts and logs the panic and makes an error of it.
//
// It never hides a panic, and never logs what was panicked with unless that is
// the runtime's own text: other values may hold what the input held. Every
// package of this module may import it.
package panics
