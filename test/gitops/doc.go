// SPDX-License-Identifier: Apache-2.0

// Package gitops tests what Argo CD and Flux make of our objects: the health
// scripts in examples/argocd with the interpreter that Argo CD runs them in, and
// kstatus, which Flux waits by. The states in testdata are the rows of the table
// in docs/operations.md; controllers/webhook_status_test.go says that the manager writes
// them.
package gitops
