// SPDX-License-Identifier: Apache-2.0

package roundrobin

// Interleave takes at most so many values from queues: the first of each, then the
// second of each, and so on. Which queue is the first is left to chance, so that none
// is the last each time. What is left stays in queues.
func Interleave[K comparable, V any](queues map[K][]V, most int) []V {
	var order []V
	for len(queues) > 0 {
		for key, queue := range queues {
			if len(order) >= most {
				return order
			}
			order = append(order, queue[0])
			if queues[key] = queue[1:]; len(queue) == 1 {
				delete(queues, key)
			}
		}
	}
	return order
}
