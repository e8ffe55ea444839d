// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"log/slog"
	"runtime/debug"
	"testing"
)

func TestSpend(t *testing.T) {
	for _, test := range []struct {
		environment string
		want        int
	}{{"", busyPercent}, {"150", 123}} { // what the runtime made of it stays
		t.Setenv("GOGC", test.environment)
		before := debug.SetGCPercent(123)
		Spend()
		if got := debug.SetGCPercent(before); got != test.want {
			t.Errorf("GOGC=%q: %d, want %d", test.environment, got, test.want)
		}
	}
}

func TestLimitToContainerHeedsEnvironment(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetMemoryLimit(1 << 30)
	defer debug.SetMemoryLimit(before)
	LimitToContainer(slog.New(slog.DiscardHandler))
	if got := debug.SetMemoryLimit(-1); got != 1<<30 {
		t.Errorf("the limit of the environment became %d", got)
	}
}
