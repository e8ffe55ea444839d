// SPDX-License-Identifier: Apache-2.0

// Package curl runs the commands of the pages in docs/ against the running
// product, with real curl, kubectl and bbmcp, and compares what they print with
// what the pages show. A block of commands that is not run says why, in a comment
// before it. Its tests have a build tag, curl, because not every machine has bash
// and curl. No binary that users install imports it.
package curl
