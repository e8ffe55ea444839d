// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// instant answers at once.
type instant struct{}

func (instant) Send(context.Context, dispatcher.Request) (dispatcher.Result, error) {
	return dispatcher.Result{StatusCode: 200}, nil
}

func prepareNothing(context.Context) (dispatcher.Request, any, error) {
	return dispatcher.Request{}, nil, nil
}

// benchJobs makes jobs of 1,000 webhooks in 50 namespaces.
func benchJobs(n int, prefix string) []Job {
	jobs := make([]Job, n)
	for i := range jobs {
		hook := i % 1000
		name := prefix + strconv.Itoa(i)
		jobs[i] = Job{
			UID:         types.UID(name),
			Delivery:    types.NamespacedName{Namespace: fmt.Sprint("ns", hook%50), Name: name},
			Webhook:     fmt.Sprint("hook", hook),
			Destination: fmt.Sprintf("host%d.example.com:443", hook),
			Number:      1,
			Timeout:     10 * time.Second,
			Prepare:     prepareNothing,
		}
	}
	return jobs
}

// BenchmarkJob is Submit, dispatch, Wake, Written and Observed of one job while
// 100,000 others are queued.
func BenchmarkJob(b *testing.B) {
	const backlog = 100_000
	jobs := benchJobs(backlog+b.N, "dlv-")
	var next, made atomic.Int64
	next.Store(backlog)
	done := make(chan struct{})
	var r *Runner
	r = New(Options{Sender: instant{}, Wake: func(name types.NamespacedName) {
		r.Acknowledge(types.UID(name.Name), Ack{Attempts: 1, Final: true})
		r.Acknowledge(types.UID(name.Name), Ack{Attempts: 1, Cached: true})
		if i := next.Add(1) - 1; i < int64(len(jobs)) {
			r.Submit(jobs[i])
		}
		if made.Add(1) == int64(b.N) {
			close(done)
		}
	}})
	for _, job := range jobs[:backlog] {
		r.Submit(job)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	b.ReportAllocs()
	b.ResetTimer()
	go r.Run(ctx)
	<-done
	b.StopTimer()
}

// BenchmarkQueuedJob is what a job costs that waits, in memory and to submit.
func BenchmarkQueuedJob(b *testing.B) {
	r := New(Options{Sender: instant{}})
	jobs := benchJobs(b.N, "dlv-")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	for _, job := range jobs {
		r.Submit(job)
	}
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/queued")
	runtime.KeepAlive(r)
	runtime.KeepAlive(jobs)
}
