// SPDX-License-Identifier: Apache-2.0

// Package policies asks a real API server what the ValidatingAdmissionPolicies of
// config/policies refuse, and whom they must let pass: people with kubectl, GitOps
// tools, the controllers of Kubernetes, backup tools and our own processes, each
// with the rights that it has. BenchmarkPolicies measures what they cost.
//
// It has no code that others import.
package policies
