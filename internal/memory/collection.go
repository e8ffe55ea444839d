// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// collectionPolicy says when the heap is collected.
type collectionPolicy struct {
	// percent is GOGC while little is in use.
	percent int
	// headroom is by how many bytes the heap may grow beyond what is in use before
	// it is collected, where percent would let it grow by more.
	headroom uint64
}

// minPercent is where collecting would begin to take more CPU than the memory is
// worth.
const minPercent = 25

// CollectOften collects more often the more is in use, for a process that may hold
// hundreds of MiB that it hardly touches: at Go's default it would take twice as
// much. The environment's GOGC (package runtime) goes before it.
func CollectOften() { frequentCollection().apply() }

func frequentCollection() collectionPolicy {
	return collectionPolicy{percent: 100, headroom: 100 << 20}
}

// CollectRarely collects less often, for a process whose requests are small and many: the
// heap may grow to five times of what is in use, a few MiB. At Go's default of 100
// a tenth of its CPU goes into collecting them. What is kept for long does not count
// five times: the heap grows by 200 MiB at most. The environment's GOGC (package
// runtime) goes before it.
func CollectRarely() { CollectRarelyWithin(rareHeadroom) }

// CollectRarelyWithin is CollectRarely for a heap that grows by so many bytes at most.
func CollectRarelyWithin(headroom uint64) { rareCollection(headroom).apply() }

const rareHeadroom = 200 << 20

func rareCollection(headroom uint64) collectionPolicy {
	return collectionPolicy{percent: 400, headroom: headroom}
}

// apply follows the policy until it is told to stop.
func (p collectionPolicy) apply() (stop func()) {
	var stopped atomic.Bool
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(p.percent)
		afterEachCollection(func() (more bool) {
			if stopped.Load() {
				return false
			}
			debug.SetGCPercent(p.percentFor(bytesAfterCollection()))
			return true
		})
	}
	return func() { stopped.Store(true) }
}

// percentFor is GOGC for so many bytes in use.
func (p collectionPolicy) percentFor(bytes uint64) int {
	return min(max(int(p.headroom*100/max(bytes, 1)), minPercent), p.percent) //nolint:gosec // G115: at most 2e10
}

// bytesAfterCollection is how many bytes of the heap the last collection has left.
func bytesAfterCollection() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterEachCollection calls f after every collection from now on, while it wants more.
func afterEachCollection(f func() (more bool)) {
	runtime.AddCleanup(new(collectionHook), func(struct{}) {
		if f() {
			afterEachCollection(f)
		}
	}, struct{}{})
}

// collectionHook is garbage from the start: its cleanup runs after a collection.
// It holds a pointer so that it shares its block with nothing.
type collectionHook struct{ _ *collectionHook }
