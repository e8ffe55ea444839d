// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
)

// jobSpec is what the caller says of a job.
type jobSpec struct {
	uid      types.UID
	delivery string // name; the namespace is the webhook's
	webhook  *webhook
	prepare  func(context.Context) (dispatcher.Request, any, error)
	timeout  int32 // milliseconds
	number   int32
}

// trackedJob is a job from its submission until its outcome is acknowledged. There
// can be 100,000 of them, so its size matters.
type trackedJob struct {
	jobSpec

	outcome   *Outcome // in phase Finished
	node      node[trackedJob]
	queuedAt  time.Duration // unique, so it is the order of submission as well
	due       time.Duration // when a lost job may be repeated; since when it has been Finished
	phase     Phase
	slotState endpoint.State // the slot an outcome keeps until it is acknowledged
	stranded  bool           // it has lost that slot: its home takes no writes
	losses    uint8
	// forgotten: the delivery was deleted while the attempt was under way.
	forgotten bool
}

func (job *trackedJob) name() types.NamespacedName {
	return types.NamespacedName{Namespace: job.webhook.key.Namespace, Name: job.delivery}
}
