// SPDX-License-Identifier: Apache-2.0

package roundrobin_test

import (
	"reflect"
	"slices"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/roundrobin"
)

func threeQueues() map[string][]int {
	return map[string][]int{"many": {10, 11, 12, 13}, "few": {20, 21}, "one": {30}}
}

func TestEachQueueHasItsTurn(t *testing.T) {
	order := roundrobin.Interleave(threeQueues(), 100)
	if len(order) != 7 {
		t.Fatalf("%v: all values are wanted, once", order)
	}
	first, second := slices.Sorted(slices.Values(order[:3])), slices.Sorted(slices.Values(order[3:5]))
	if !slices.Equal(first, []int{10, 20, 30}) || !slices.Equal(second, []int{11, 21}) || !slices.Equal(order[5:], []int{12, 13}) {
		t.Errorf("%v: want the first of each, the second of each, and the rest", order)
	}
}

func TestWhatIsLeftStaysInItsQueue(t *testing.T) {
	queues := threeQueues()
	order := roundrobin.Interleave(queues, 5)
	if want := map[string][]int{"many": {12, 13}}; len(order) != 5 || !reflect.DeepEqual(queues, want) {
		t.Errorf("took %v, left %v, want %v", order, queues, want)
	}
	if order := roundrobin.Interleave(queues, 0); len(order) != 0 {
		t.Errorf("%v: none is wanted", order)
	}
}

func TestNoQueueIsAlwaysTheLast(t *testing.T) {
	last := map[int]bool{}
	for range 1000 {
		last[roundrobin.Interleave(map[string][]int{"a": {1}, "b": {2}}, 2)[1]] = true
	}
	if len(last) != 2 {
		t.Errorf("the last is always the same: %v", last)
	}
}
