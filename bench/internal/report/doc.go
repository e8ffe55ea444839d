// SPDX-License-Identifier: Apache-2.0

// Package report holds what scenarios found, decides what was reached and
// prints it: a table for people, one JSON object for programs.
package report
