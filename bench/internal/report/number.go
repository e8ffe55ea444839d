// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"
	"strconv"
)

// Number writes a figure with four digits that count.
func Number(value float64) string {
	return strconv.FormatFloat(round(value), 'f', -1, 64)
}

// round keeps four digits that count, and all before the point.
func round(value float64) float64 {
	if value == 0 || math.IsNaN(value) || math.IsInf(value, 0) {
		return 0
	}
	digits := 3 - int(math.Floor(math.Log10(math.Abs(value))))
	scale := math.Pow(10, float64(max(0, digits)))
	return math.Round(value*scale) / scale
}
