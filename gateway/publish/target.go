// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// target is one delivery to make.
type target struct {
	candidate

	index         *store.DeliveryIndex
	reservedBytes int64
	reservation   *byteReservation
	released      bool
	storeBegun    bool          // its object is being created
	attempt       *firstAttempt // nil: none is made here
}

// release ends the reservations, except for the bytes of an object.
func (t *target) release() {
	t.reservation.release()
	if !t.released {
		t.released = true
		t.index.ReleaseQuota(t.webhook.Namespace, t.webhook.Name, t.reservedBytes)
	}
}

func releaseTargets(targets []*target) {
	for _, t := range targets {
		t.release()
	}
}

func targetWebhookUIDs(targets []*target) (uids []types.UID) {
	for _, t := range targets {
		uids = append(uids, t.webhook.UID)
	}
	return uids
}
