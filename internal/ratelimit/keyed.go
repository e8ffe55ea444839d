// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the keys that are remembered. Those whose bucket is full again are
// forgotten first, which changes nothing for them.
const maxKeys = 10_000

// Keyed has a bucket for each key. Make it with New; it may be used by many at once.
type Keyed struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// New makes buckets that hold burst and get so many a second.
func New(perSecond float64, burst int, now func() time.Time) *Keyed {
	return &Keyed{rate: rate.Limit(perSecond), burst: burst, now: now, buckets: map[string]*rate.Limiter{}}
}

// Allow takes one from the bucket of a key. If there is none it says when there will be.
func (k *Keyed) Allow(key string) (wait time.Duration, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	bucket := k.bucket(key, now)
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	return k.waitFor(bucket, now), false
}

// Spend takes n, at most what a bucket holds, from the bucket of a key even if there
// are fewer: for what cannot be refused any more.
func (k *Keyed) Spend(key string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.bucket(key, now).ReserveN(now, min(n, k.burst))
}

// Take takes n from the bucket of a key if it has any, even if it has fewer: what is
// larger than a bucket has its turn as well, and the next ones wait until it is paid. If
// there is none it says when there will be.
func (k *Keyed) Take(key string, n int) (wait time.Duration, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	bucket := k.bucket(key, now)
	if wait := k.waitFor(bucket, now); wait > 0 {
		return wait, false
	}
	for n > 0 {
		part := min(n, k.burst)
		bucket.ReserveN(now, part)
		n -= part
	}
	return 0, true
}

// Return puts back n that were taken and not needed.
func (k *Keyed) Return(key string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.bucket(key, now).ReserveN(now, -n) // never more than a bucket holds
}

// Wait is when the bucket of a key will have one; 0: now. It takes none.
func (k *Keyed) Wait(key string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket := k.buckets[key]
	if bucket == nil {
		return 0
	}
	return k.waitFor(bucket, k.now())
}

func (k *Keyed) bucket(key string, now time.Time) *rate.Limiter {
	bucket := k.buckets[key]
	if bucket == nil {
		if len(k.buckets) >= maxKeys {
			k.forget(now)
		}
		bucket = rate.NewLimiter(k.rate, k.burst)
		k.buckets[key] = bucket
	}
	return bucket
}

func (k *Keyed) waitFor(bucket *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - bucket.TokensAt(now)
	return max(0, time.Duration(math.Ceil(missing/float64(k.rate)*float64(time.Second))))
}

// forget drops keys whose bucket is full, and if these are few others too.
func (k *Keyed) forget(now time.Time) {
	for key, bucket := range k.buckets {
		if bucket.TokensAt(now) >= float64(k.burst) || len(k.buckets) > maxKeys*3/4 {
			delete(k.buckets, key)
		}
	}
}
