// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// share of the container's limit is the collector's: the rest is for what it does
// not count.
const share = 0.9

// LimitToContainer makes the collector work harder as the process nears the
// memory limit of its container (cgroup). Without such a limit, or where the
// environment sets GOMEMLIMIT (package runtime), nothing changes.
func LimitToContainer(logger *slog.Logger) {
	if _, err := memlimit.Set(memlimit.WithRatio(share)); err != nil {
		// Some systems have no cgroups.
		logger.Debug("the container's memory limit is not known", "error", err)
	}
}

// ShareOfLimit is a share of the memory that the process may take; fallback where that
// is not limited.
func ShareOfLimit(of float64, fallback int64) int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return fallback
	}
	return int64(float64(limit) * of)
}
