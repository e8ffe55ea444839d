// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// counted is what the API server has been asked about deliveries.
type counted struct{ writes, deletes float64 }

func (w *deployment) counted(ctx context.Context) (counted, error) {
	samples, err := w.stack.ScrapeAPIServer(ctx)
	if err != nil {
		return counted{}, err
	}
	return countRequests(samples), nil
}

func countRequests(samples stack.Samples) counted {
	count := func(verb string) float64 {
		return samples.Sum("apiserver_request_total", "resource", "webhookdeliveries", "verb", verb)
	}
	return counted{writes: count("POST") + count("PUT") + count("PATCH") + count("APPLY"), deletes: count("DELETE")}
}

// allocations is how many objects the API server has allocated so far. Unlike its
// time, it hardly depends on the machine.
func (w *deployment) allocations(ctx context.Context) (float64, error) {
	samples, err := w.stack.ScrapeAPIServer(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return samples.Sum("go_memstats_mallocs_total"), nil
}

// spent is the CPU time of API server and etcd so far.
func spent(pids map[string]int) (sum time.Duration, err error) {
	for _, name := range []string{"api_server", "etcd"} {
		one, err := procstat.CPU(pids[name])
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}
