// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"maps"
	"slices"
)

// deliveryHeader names the delivery that a request is an attempt of.
const deliveryHeader = "X-BBMCP-Delivery"

// Deliveries says how many whole requests an endpoint got of each delivery.
type Deliveries map[string]int

// Requests is how many there were in all.
func (d Deliveries) Requests() int {
	total := 0
	for _, requests := range d {
		total += requests
	}
	return total
}

// Repeated are the deliveries of which more than one request arrived, in order.
func (d Deliveries) Repeated() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d)), func(id string) bool { return d[id] < 2 })
}
