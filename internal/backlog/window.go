// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"slices"
	"time"
)

// window is what was read of a lot and not yet trimmed.
type window struct {
	entries []*Entry
	added   int    // entries in all
	read    uint64 // the newest message
	// No entry before unsettled is other than settled, none before startable waits.
	unsettled, startable int
	trimFrom             time.Time // since when there is something to trim
}

// Add adds a message of the log, in the order of their sequences. One that was read
// before is left out.
func (w *window) Add(message uint64, frames []Frame) {
	if message <= w.read {
		return
	}
	w.read = message
	for _, frame := range frames {
		w.entries = append(w.entries, &Entry{Frame: frame, message: message, ordinal: w.added})
		w.added++
	}
}

// Read is the sequence of the newest message that was added; 0: none.
func (w *window) Read() uint64 { return w.read }

// Room is how many more entries are worth reading: none beyond them would be started.
func (w *window) Room() int { return MaxUntrimmed - (len(w.entries) - w.firstUnsettled()) }

// IsEmpty reports whether all that was read is trimmed.
func (w *window) IsEmpty() bool { return len(w.entries) == 0 }

// startableEntries are those that may be started, and some between them.
func (w *window) startableEntries() []*Entry {
	end := min(w.firstUnsettled()+MaxUntrimmed, len(w.entries))
	for w.startable < end && w.entries[w.startable].state != waiting {
		w.startable++
	}
	return w.entries[min(w.startable, end):end]
}

// wait lets an entry wait for an attempt, again.
func (w *window) wait(e *Entry) {
	e.state = waiting
	w.startable = min(w.startable, e.ordinal-(w.added-len(w.entries)))
}

// firstUnsettled returns the index of the oldest entry that is not settled.
func (w *window) firstUnsettled() int {
	for w.unsettled < len(w.entries) && w.entries[w.unsettled].state == settled {
		w.unsettled++
	}
	return w.unsettled
}

// noteSettled begins the time after which the log is trimmed.
func (w *window) noteSettled(now time.Time) {
	if w.trimFrom.IsZero() && w.firstUnsettled() > 0 {
		w.trimFrom = now
	}
}

func (w *window) settledBehind(first int) (n int) {
	for _, e := range w.entries[first:] {
		if e.state == settled {
			n++
		}
	}
	return n
}

// Position returns the sequence up to which the log is to be trimmed now, and when to
// ask again; 0: nothing is to be.
func (w *window) Position(now time.Time) (message uint64, again time.Time) {
	first := w.firstUnsettled()
	whole := first
	if first < len(w.entries) { // a message is trimmed as a whole
		for whole > 0 && w.entries[whole-1].message == w.entries[first].message {
			whole--
		}
	}
	if whole == 0 {
		return 0, time.Time{}
	}
	if at := w.trimFrom.Add(trimInterval); whole < trimAfter && now.Before(at) {
		return 0, at
	}
	return w.entries[whole-1].message, time.Time{}
}

// drop drops what was trimmed up to a message.
func (w *window) drop(message uint64, now time.Time) {
	n := 0
	for n < len(w.entries) && w.entries[n].message <= message {
		n++
	}
	w.entries = slices.Delete(w.entries, 0, n)
	w.unsettled, w.startable, w.trimFrom = max(0, w.unsettled-n), max(0, w.startable-n), time.Time{}
	w.noteSettled(now)
}

// earliest returns the earlier of two times of which zero says nothing.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
