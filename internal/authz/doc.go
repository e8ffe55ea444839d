// SPDX-License-Identifier: Apache-2.0

// Package authz finds out what callers may do.
//
// The API server decides, by a SubjectAccessReview of exactly the caller and the
// question, and its answers are kept for a while. What memory cannot answer is bounded
// for each caller and for the ServiceAccounts of each namespace, so that nobody's
// questions, however many different ones, load the API server or push out the answers
// that others need.
//
// Gateway and internal/app import it.
package authz
