// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"math/rand/v2"
	"testing"
)

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b   string
		enough int
		want   int
	}{
		{"", "", 3, 0},
		{"created", "created", 3, 0},
		{"craeted", "created", 3, 1},
		{"ceated", "created", 3, 1},
		{"creatted", "created", 3, 1},
		{"crested", "created", 3, 1},
		{"reatedc", "created", 3, 2},
		{"failed", "created", 3, 3},
		{"abcdefgh", "created", 3, 3},
		{"a", "created", 3, 3},
	}
	for _, tt := range tests {
		if got := editDistance(tt.a, tt.b, tt.enough); got != tt.want {
			t.Errorf("editDistance(%q, %q, %d) is %d, want %d", tt.a, tt.b, tt.enough, got, tt.want)
		}
		if got := editDistance(tt.b, tt.a, tt.enough); got != tt.want {
			t.Errorf("editDistance(%q, %q, %d) is %d, want %d", tt.b, tt.a, tt.enough, got, tt.want)
		}
	}
}

// TestEditDistanceMatchesAFullTable compares with the whole table, on short texts of few letters.
func TestEditDistanceMatchesAFullTable(t *testing.T) {
	whole := func(a, b string) int {
		d := make([][]int, len(a)+1)
		for i := range d {
			d[i] = make([]int, len(b)+1)
			for j := range d[i] {
				switch {
				case i == 0 || j == 0:
					d[i][j] = i + j
				case a[i-1] == b[j-1]:
					d[i][j] = d[i-1][j-1]
				default:
					d[i][j] = 1 + min(d[i-1][j-1], d[i-1][j], d[i][j-1])
				}
				if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
					d[i][j] = min(d[i][j], d[i-2][j-2]+1)
				}
			}
		}
		return d[len(a)][len(b)]
	}
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		out := make([]byte, r.IntN(12))
		for i := range out {
			out[i] = "abc"[r.IntN(3)]
		}
		return string(out)
	}
	for range 20000 {
		a, b, enough := text(), text(), 1+r.IntN(4)
		if got, want := editDistance(a, b, enough), min(enough, whole(a, b)); got != want {
			t.Fatalf("editDistance(%q, %q, %d) is %d, want %d", a, b, enough, got, want)
		}
	}
}
