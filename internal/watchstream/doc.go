// SPDX-License-Identifier: Apache-2.0

// Package watchstream reads watches of our own kinds in one pass.
//
// client-go reads each event of a watch of JSON ten times: to find its end, its
// kind, the object in it, the object's kind and at last its fields, most of them
// twice. For a delivery of 3 KiB that is nine times the work of reading it once,
// and the gateway and the manager do it for every change of every delivery.
//
// client-go still makes the request, with its credentials, retries and errors;
// only the body of the answer is taken over. A process whose rest.Config went
// through Wrap does so; all others read as client-go does.
//
// It never writes to the API server. The mirror of the gateway and the controllers
// import it.
package watchstream
