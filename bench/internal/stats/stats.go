// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Percentile returns the p-th percentile, p from 0 to 100, of values in
// ascending order: the smallest that so many percent do not exceed. It is the
// zero value if there are none.
func Percentile[T cmp.Ordered](sorted []T, p float64) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	rank := int(math.Ceil(float64(len(sorted)) * p / 100))
	return sorted[min(max(rank-1, 0), len(sorted)-1)]
}

// Median returns the middle value, or the mean of the two middle ones; 0 if
// there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Latency is what times look like, in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// Micros is a time in microseconds, from 0 to an hour and more.
func Micros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}

// Summarize turns times in microseconds into a Latency. It sorts them.
func Summarize(micros []uint32) Latency {
	slices.Sort(micros)
	milliseconds := func(p float64) float64 { return float64(Percentile(micros, p)) / 1000 }
	return Latency{Count: len(micros), P50: milliseconds(50), P99: milliseconds(99), Max: milliseconds(100)}
}

// Growth is by how much the median of the last quarter of the values exceeds
// that of the quarter before it: what has not settled in the first half is
// still growing.
func Growth(values []float64) (before, after float64) {
	quarter := len(values) / 4
	if quarter == 0 {
		return 0, 0
	}
	last := len(values) - quarter
	return Median(values[last-quarter : last]), Median(values[last:])
}
