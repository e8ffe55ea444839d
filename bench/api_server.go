// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// apiServerRequests is what the API server has been asked about deliveries.
type apiServerRequests struct{ writes, deletes float64 }

func (w *deployment) countAPIServerRequests(ctx context.Context) (apiServerRequests, error) {
	samples, err := w.stack.ScrapeAPIServer(ctx)
	if err != nil {
		return apiServerRequests{}, err
	}
	return sumAPIServerRequests(samples), nil
}

func sumAPIServerRequests(samples stack.Samples) apiServerRequests {
	count := func(verb string) float64 {
		return samples.Sum("apiserver_request_total", "resource", "webhookdeliveries", "verb", verb)
	}
	return apiServerRequests{writes: count("POST") + count("PUT") + count("PATCH") + count("APPLY"), deletes: count("DELETE")}
}

// apiServerAllocations is how many objects the API server has allocated so far. Unlike its
// time, it hardly depends on the machine.
func (w *deployment) apiServerAllocations(ctx context.Context) (float64, error) {
	samples, err := w.stack.ScrapeAPIServer(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return samples.Sum("go_memstats_mallocs_total"), nil
}

// apiServerCPU is the CPU time of API server and etcd so far.
func apiServerCPU(pids map[string]int) (sum time.Duration, err error) {
	for _, name := range []string{"api_server", "etcd"} {
		one, err := procstat.CPU(pids[name])
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}
