// SPDX-License-Identifier: Apache-2.0

// Package match says which events a webhook wants: the patterns of its events
// list against the type of an event.
//
// It is pure and keeps nothing; it never looks at registered event types, so a
// pattern may name one that does not exist yet. The grammar of a type is that
// of package payload. Every package of this module may import it.
package match
