// SPDX-License-Identifier: Apache-2.0

// Package attemptlog writes what came of an attempt in the form in which
// objects hold it. Whoever made the attempt, manager or gateway, it reads alike.
//
// It is pure. Controllers and gateway import it.
package attemptlog
