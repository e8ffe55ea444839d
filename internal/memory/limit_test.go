// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"log/slog"
	"math"
	"runtime/debug"
	"testing"
)

func TestLimitToContainerHeedsEnvironment(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetMemoryLimit(1 << 30)
	defer debug.SetMemoryLimit(before)
	LimitToContainer(slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got != 1<<30 {
		t.Errorf("the limit of the environment became %d", got)
	}
}

func TestShare(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(math.MaxInt64)
	if got := ShareOfLimit(0.5, 7); got != 7 {
		t.Errorf("without a limit: %d", got)
	}
	debug.SetMemoryLimit(1 << 30)
	if got := ShareOfLimit(0.25, 7); got != 1<<28 {
		t.Errorf("of 1 GiB: %d", got)
	}
}
