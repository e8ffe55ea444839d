// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// busyPercent lets the heap of a process that makes and drops thousands of
	// small requests a second grow to five times of what is in use, a few MiB: at
	// Go's default of 100 a tenth of its CPU goes into collecting them.
	busyPercent = 400
	// share of the container's limit is the collector's: the rest is for what it
	// does not count.
	share = 0.9
)

// LimitToContainer makes the collector work harder as the process nears the
// memory limit of its container (cgroup). Without such a limit, or where the
// environment sets GOMEMLIMIT (package runtime), nothing changes.
func LimitToContainer(logger *slog.Logger) {
	if _, err := memlimit.Set(memlimit.WithRatio(share)); err != nil {
		// Some systems have no cgroups.
		logger.Debug("the container's memory limit is not known", "error", err)
	}
}

// Spend collects less often, for a process whose requests are small and many. The
// environment's GOGC (package runtime) goes before it.
func Spend() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(busyPercent)
	}
}
