// SPDX-License-Identifier: Apache-2.0

// Package multiplex carries many calls at once over one connection to a process
// on the same machine: one frame there, one frame back, in any order.
//
// What sets it apart from other ways to do that is that a call which fails says
// whether the other side can have seen it: [ErrNotTaken] or [ErrLost]. A server
// that drains finishes what it took, turns away what comes later, and says so.
//
// It knows nothing of what the frames hold, makes no second try, never logs a
// frame, and imports the standard library only. Package dispatcher is its only
// user.
package multiplex
