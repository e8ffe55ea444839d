// SPDX-License-Identifier: Apache-2.0

// Package chart draws a report as an SVG picture: throughput, CPU time and
// latency of the product beside what it is compared with. The picture follows
// the reader's choice of a light or a dark background.
package chart
