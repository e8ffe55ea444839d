// SPDX-License-Identifier: Apache-2.0

// Command generate writes what the Node check reads: documents and numbers made
// at random from a seed, beside what package payload makes of them, one JSON
// record a line. It judges nothing; that is for check.mjs, which shares no code
// with it. Nothing imports it.
package main
