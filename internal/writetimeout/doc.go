// SPDX-License-Identifier: Apache-2.0

// Package writetimeout says how long one write to the API server may take, for each
// namespace: short while writes are quick, so that a request to a server that hangs
// is soon given up, and longer while writes end by their timeout, so that what only
// takes long, an admission webhook most of the time, is slower and not stuck. It
// never writes itself. Packages controllers and gateway import it.
package writetimeout
