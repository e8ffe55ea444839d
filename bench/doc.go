// SPDX-License-Identifier: Apache-2.0

// Command bench measures the product, every process of it a real one on the
// embedded control plane, beside the least that could do the same. README.md
// explains the scenarios; each has a file of its name here.
//
// It prints a table, says for every requirement whether it was reached, and
// ends with one JSON object on the last line. The exit status is 1 if anything
// was missed, lost or could not be measured.
//
// The same program is also, as a process of its own, the load, the receiver and
// the bare forwarder.
package main
