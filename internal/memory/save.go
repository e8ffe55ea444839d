// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// headroom is by how much the heap may grow beyond what is in use before it is
	// collected, where Go's default would let it grow by more.
	headroom = 100 << 20
	// goPercent is Go's default. savePercent is the least: below it, collecting
	// would take more CPU than the memory is worth.
	goPercent, savePercent = 100, 25
)

// Save collects more often the more is in use, for a process that may hold
// hundreds of MiB that it hardly touches: at Go's default it would take twice as
// much. The environment's GOGC (package runtime) goes before it.
func Save() {
	if os.Getenv("GOGC") == "" {
		onEachCollection(func() { debug.SetGCPercent(percentFor(inUse())) })
	}
}

// percentFor is GOGC for so many bytes in use.
func percentFor(bytes uint64) int {
	return int(min(max(headroom*100/max(bytes, 1), savePercent), goPercent))
}

// inUse is how many bytes of the heap the last collection has left.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// onEachCollection calls f after every collection from now on.
func onEachCollection(f func()) {
	runtime.AddCleanup(new(tracer), func(struct{}) {
		f()
		onEachCollection(f)
	}, struct{}{})
}

// tracer is garbage from the start: that it is collected tells that something is.
// It holds a pointer so that it shares its block with nothing.
type tracer struct{ _ *tracer }
