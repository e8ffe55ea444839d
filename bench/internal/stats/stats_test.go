// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"math"
	"testing"
	"time"
)

func TestPercentileIsTheSmallestThatSoManyDoNotExceed(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, c := range []struct {
		name   string
		values []int
		p      float64
		want   int
	}{
		{"none", nil, 99, 0},
		{"one", []int{7}, 50, 7},
		{"median of an even number is the lower", []int{1, 2, 3, 4}, 50, 2},
		{"first", hundred, 0, 1},
		{"half", hundred, 50, 50},
		{"99 of 100", hundred, 99, 99},
		{"between two ranks rounds up", hundred, 98.5, 99},
		{"last", hundred, 100, 100},
		{"99 of few is the last", []int{1, 2, 3}, 99, 3},
	} {
		if got := Percentile(c.values, c.p); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"none", nil, 0},
		{"one", []float64{3}, 3},
		{"odd, not in order", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 3, 2}, 2.5},
	} {
		if got := Median(c.values); got != c.want {
			t.Errorf("%s: got %g, want %g", c.name, got, c.want)
		}
	}
	values := []float64{3, 1, 2}
	Median(values)
	if values[0] != 3 {
		t.Error("the values were put into another order")
	}
}

func TestSummarizeGivesMilliseconds(t *testing.T) {
	micros := make([]uint32, 0, 200)
	for i := range uint32(200) {
		micros = append(micros, (200-i)*100)
	}
	if got, want := Summarize(micros), (Latency{Count: 200, P50: 10, P99: 19.8, Max: 20}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Summarize(nil); got != (Latency{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestGrowthComparesTheLastTwoQuarters(t *testing.T) {
	for _, c := range []struct {
		name          string
		values        []float64
		before, after float64
	}{
		{"too few", []float64{1, 2, 3}, 0, 0},
		{"settled after a start", []float64{1, 2, 5, 8, 10, 10, 10, 10}, 10, 10},
		{"still growing", []float64{1, 2, 3, 4, 5, 6, 7, 8}, 5.5, 7.5},
	} {
		if before, after := Growth(c.values); before != c.before || after != c.after {
			t.Errorf("%s: got %g and %g, want %g and %g", c.name, before, after, c.before, c.after)
		}
	}
}

func TestMicrosStaysInItsRange(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-time.Second: 0, 1500 * time.Nanosecond: 1, time.Second: 1e6, 1000 * time.Hour: math.MaxUint32,
	} {
		if got := Micros(d); got != want {
			t.Errorf("%s: got %d, want %d", d, got, want)
		}
	}
}
