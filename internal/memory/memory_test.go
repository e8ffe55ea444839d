// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"log/slog"
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
