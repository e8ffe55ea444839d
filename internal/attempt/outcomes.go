// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

const (
	// throttleFactor is how many times as long as the write of its latest outcome an
	// endpoint that fails gets no attempt, maxThrottle how long at most.
	throttleFactor = 7
	maxThrottle    = time.Second
)

// outcomes are kept until they are acknowledged, and what was acknowledged until
// the cache of the caller shows it.
type outcomes struct {
	acknowledgements

	finished list[trackedJob] // oldest first
}

func newOutcomes() outcomes {
	return outcomes{acknowledgements: acknowledgements{known: map[types.UID]*acknowledgement{}}}
}

// keep keeps the outcome of a job.
func (o *outcomes) keep(job *trackedJob, outcome Outcome, now time.Duration) {
	job.webhook.jobCount--
	job.phase = Finished
	job.outcome, job.due = &outcome, now
	job.prepare = nil
	o.finished.pushBack(&job.node)
	if outcome.Err == nil {
		job.webhook.unacknowledged++
	}
}

// drop drops the outcome of a job. It reports whether that is of an attempt.
func (o *outcomes) drop(job *trackedJob) (attempted bool) {
	job.node.detach()
	if job.outcome.Err != nil {
		return false
	}
	job.webhook.unacknowledged--
	return true
}

// withSlot are the outcomes of attempts of a namespace that keep a slot.
func (o *outcomes) withSlot(space *namespace) (jobs []*trackedJob) {
	for n := o.finished.head; n != nil; n = n.next {
		if job := n.value; job.webhook.namespace == space && job.outcome.Err == nil && !job.stranded {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// unsettled returns the deliveries whose attempt was made and whose outcome waits
// to be written, oldest outcome first.
func (o *outcomes) unsettled() []types.NamespacedName {
	names := make([]types.NamespacedName, 0, o.finished.n)
	for n := o.finished.head; n != nil; n = n.next {
		if n.value.outcome.Err == nil {
			names = append(names, n.value.name())
		}
	}
	return names
}

// Outcome is what came of a job.
type Outcome struct {
	// Number is that of the job.
	Number int
	// Result is set unless Err is.
	Result dispatcher.Result
	// Note is what Prepare handed back.
	Note any
	// Err is the error of Prepare: no attempt was made and none is counted.
	Err error
}

// attempts is how many attempts have been made once this outcome is there.
func (o Outcome) attempts() int {
	if o.Err != nil {
		return o.Number - 1
	}
	return o.Number
}
