// SPDX-License-Identifier: Apache-2.0

// Package isolation measures what webhooks whose endpoints hang do to those
// whose endpoints answer: the time from the creation of a delivery to its POST,
// and how many deliveries arrive a second, both with and without them.
//
// Everything is real: control plane, manager, dispatcher and sockets. Every
// endpoint that hangs has an address of its own, so that no bound on a single
// destination helps. Its test makes sure in a short time that isolation works
// at all; bench/ is the whole measurement. No binary that users install imports
// it.
package isolation
