// SPDX-License-Identifier: Apache-2.0

// Package onepass reads what the API server says of our own kinds in one pass:
// the events of watches, and the answers to writes of deliveries.
//
// client-go reads each event of a watch of JSON ten times: to find its end, its
// kind, the object in it, the object's kind and at last its fields, most of them
// twice; and the answer to a write four times. For a delivery of 3 KiB that is
// many times the work of reading it once, and the gateway and the manager do it
// for every change of every delivery.
//
// client-go still makes the requests, with its credentials, retries and errors.
// Of a watch only the body of the answer is taken over: a process whose
// rest.Config went through Wrap does so; all others read as client-go does. Writes
// are read so by a Client.
//
// The watch cache of the gateway, the controllers and internal/app import it.
//
// Files: watch.go and decode.go (watches), client.go (writes).
package onepass
