// SPDX-License-Identifier: Apache-2.0

package controllers

// ttlHeap orders deliveries by when their ttlAfterFinished ends.
type ttlHeap []*finishedDelivery

func (h ttlHeap) Len() int { return len(h) }

func (h ttlHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h ttlHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *ttlHeap) Push(x any) { *h = append(*h, x.(*finishedDelivery)) }

func (h *ttlHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
