// SPDX-License-Identifier: Apache-2.0

package writelimit

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// Least is how long a write may take of which nothing is known.
	Least = 2 * time.Second
	// Most is more than a write takes: an admission webhook has at most 30 s.
	Most = 32 * time.Second
	// keptFor is how long a limit is remembered that no write has needed.
	keptFor = 10 * time.Minute
)

// Limits are those of all namespaces. Make them with New; they are safe for
// concurrent use.
type Limits struct {
	now func() time.Time

	mu    sync.Mutex
	grown map[string]grown // namespaces whose limit is longer than Least
}

type grown struct {
	limit time.Duration
	used  time.Time
}

// New makes limits that have seen no write.
func New(now func() time.Time) *Limits {
	return &Limits{now: now, grown: map[string]grown{}}
}

// Of is how long the next write in a namespace may take.
func (l *Limits) Of(namespace string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(Least, l.grown[namespace].limit)
}

// Do calls write, whose context ends with the limit of its namespace, and learns from
// how long it takes.
func (l *Limits) Do(ctx context.Context, namespace string, write func(context.Context) error) error {
	limit, began := l.Of(namespace), l.now()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := write(limited)
	switch took := l.now().Sub(began); {
	case err == nil:
		l.learn(namespace, limit, 2*took)
	case ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded):
		l.learn(namespace, limit, 2*limit)
	}
	return err
}

// learn sets a limit, unless another write has changed it since this one began.
func (l *Limits) learn(namespace string, before, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if known := l.grown[namespace].limit; max(Least, known) == before || next > known {
		l.grown[namespace] = grown{limit: min(max(next, Least), Most), used: now}
	}
	for name, each := range l.grown {
		if each.limit == Least || now.Sub(each.used) > keptFor {
			delete(l.grown, name)
		}
	}
}
