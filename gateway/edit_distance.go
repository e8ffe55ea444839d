// SPDX-License-Identifier: Apache-2.0

package gateway

// maxEditDistance is the largest edit distance at which a text is taken for another one.
func maxEditDistance(text string) int { return min(3, 1+len(text)/6) }

// editDistance counts the letters to insert, delete, replace or swap with the next that
// turn one text into the other; it stops at limit.
func editDistance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		// Outside this band the distance reaches the limit.
		from, to := max(0, i-limit), min(len(b), i+limit+1)
		row[from] = limit
		if from == 0 {
			row[0] = i + 1
		}
		if to < len(b) {
			row[to+1] = limit
		}
		least := row[from]
		for j := from; j < to; j++ {
			wrong := 1
			if a[i] == b[j] {
				wrong = 0
			}
			row[j+1] = min(last[j]+wrong, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
			least = min(least, row[j+1])
		}
		if least > limit {
			return limit
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
