// SPDX-License-Identifier: Apache-2.0

// Package cli holds the commands of bbmcp, one file for each noun: they read
// flags, call package client (keys: the Kubernetes API) and print.
//
// A command takes streams, environment and clock from [System], never ends the
// process, and prints a secret only where it was just made. The package knows
// neither controllers nor gateway; cmd/bbmcp and the generator of
// docs/reference/cli.md import it.
package cli
