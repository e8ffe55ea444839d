// SPDX-License-Identifier: Apache-2.0

// Package curl runs the commands of docs/rest.md with a real curl against the
// running product and compares what they print with what the page shows. Its
// tests have a build tag, curl, because not every machine has bash and curl. No
// binary that users install imports it.
package curl
