// SPDX-License-Identifier: Apache-2.0

package writetimeout

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// Min is how long a write may take of which nothing is known.
	Min = 2 * time.Second
	// Max is more than a write takes: an admission webhook has at most 30 s.
	Max = 32 * time.Second
	// expiry is how long an unused timeout is remembered.
	expiry = 10 * time.Minute
)

// Timeouts are those of all namespaces. Make them with New; they are safe for
// concurrent use.
type Timeouts struct {
	now func() time.Time

	mu    sync.Mutex
	grown map[string]grown // namespaces whose timeout is longer than Min
}

type grown struct {
	timeout time.Duration
	used    time.Time
}

// New makes timeouts that have seen no write.
func New(now func() time.Time) *Timeouts {
	return &Timeouts{now: now, grown: map[string]grown{}}
}

// Timeout is how long the next write in a namespace may take.
func (t *Timeouts) Timeout(namespace string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(Min, t.grown[namespace].timeout)
}

// Do calls write, whose context ends with the timeout of its namespace, and learns from
// how long it takes.
func (t *Timeouts) Do(ctx context.Context, namespace string, write func(context.Context) error) error {
	timeout, began := t.Timeout(namespace), t.now()
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := write(limited)
	switch took := t.now().Sub(began); {
	case err == nil:
		t.adjust(namespace, timeout, 2*took)
	case ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded):
		t.adjust(namespace, timeout, 2*timeout)
	}
	return err
}

// adjust sets a timeout, unless another write has changed it since this one began.
func (t *Timeouts) adjust(namespace string, before, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if known := t.grown[namespace].timeout; max(Min, known) == before || next > known {
		t.grown[namespace] = grown{timeout: min(max(next, Min), Max), used: now}
	}
	for name, each := range t.grown {
		if each.timeout == Min || now.Sub(each.used) > expiry {
			delete(t.grown, name)
		}
	}
}
