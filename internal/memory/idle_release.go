// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// checkInterval is how often a process checks whether it is idle.
	checkInterval = 2 * time.Second
	// idleBytes is how much an idle process allocates between two checks.
	idleBytes = 16 << 20
	// minRelease, and a tenth, is how much more than what was needed lately is
	// worth a collection. Go's heap grows by 4 MiB at a time.
	minRelease = 2 << 20
	// releasePause is how many times as long as a release took the next one waits:
	// collecting a large heap between bursts takes 2 % of the time at most.
	releasePause = 50
)

// ReleaseIdle returns the memory that a burst has left to the system, until ctx ends. Go by itself
// collects a quiet process every two minutes, and lets what it has taken go over
// many more. A busy process keeps its memory.
func ReleaseIdle(ctx context.Context) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	g := idleReleaser{now: time.Now, free: func() {
		runtime.GC() // what is in a sync.Pool goes with the second one
		debug.FreeOSMemory()
	}}
	for {
		select {
		case <-tick.C:
			g.check(readHeap)
		case <-ctx.Done():
			return
		}
	}
}

// heap is how much was allocated since the process began, and how much of the heap
// is in memory.
type heap struct{ allocated, resident uint64 }

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	h := heap{allocated: samples[0].Value.Uint64()}
	for _, sample := range samples[1:] {
		h.resident += sample.Value.Uint64()
	}
	return h
}

// idleReleaser decides when to give memory back.
type idleReleaser struct {
	free      func()
	now       func() time.Time
	allocated uint64    // at the last check
	needed    uint64    // resident after a release, or less since
	notBefore time.Time // no release before
}

func (g *idleReleaser) check(read func() heap) {
	now := read()
	idle := now.allocated-g.allocated <= idleBytes
	g.allocated, g.needed = now.allocated, min(g.needed, now.resident)
	if !idle || now.resident <= g.needed+g.needed/10+minRelease || g.now().Before(g.notBefore) {
		return
	}
	began := g.now()
	g.free()
	g.notBefore = g.now().Add(releasePause * g.now().Sub(began))
	after := read()
	g.allocated, g.needed = after.allocated, after.resident
}
