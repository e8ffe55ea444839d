// SPDX-License-Identifier: Apache-2.0

package signer

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	// behindFor is for how long secrets that are due to be read again are used at
	// once, while that happens behind.
	behindFor = time.Minute
	// awayFor is for how long they are used, after they were due, where the API
	// server does not answer within answerWait.
	awayFor    = 15 * time.Minute
	answerWait = 250 * time.Millisecond
	// askAgain is the pause between two questions that get no answer.
	askAgain = time.Second
	// maxReads is how many Secrets are read at a time behind first attempts.
	maxReads = 64
)

// Errors of Recent.
var (
	// ErrReading says that a secret is being read; see Await.
	ErrReading = errors.New("the signing secret is being read")
	// ErrUnknown says that a secret is not known and that it was tried in vain to
	// read it a moment ago.
	ErrUnknown = errors.New("the signing secret cannot be read at present")
)

// reading is a read of one Webhook's Secret that is under way.
type reading struct {
	basis basis
	began time.Time
	ended chan struct{} // closed when what is known tells what came of it
}

// Recent returns a Webhook's secrets without waiting, for a caller that has
// another way if none are at hand. What is due is read behind, at most once a
// second for each Webhook. The error is ErrReading, ErrUnknown or a *Problem.
func (s *Signer) Recent(webhook *v1alpha1.Webhook) (Secrets, error) {
	now, want := s.now(), basisOf(webhook)
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known[webhook.UID]
	if known != nil && known.basis != want {
		known = nil
	}
	if known != nil && now.Before(known.until) {
		if known.problem != nil {
			return Secrets{}, known.problem
		}
		return known.secrets, nil
	}
	under := s.read(webhook, want, now)
	switch {
	case known.usable(now, behindFor):
		return known.secrets, nil
	case under != nil && now.Before(under.began.Add(answerWait)):
		return Secrets{}, ErrReading
	case known.usable(now, awayFor):
		return known.secrets, nil
	case under != nil:
		return Secrets{}, ErrReading
	}
	return Secrets{}, ErrUnknown
}

// usable reports whether secrets that were due this long ago at most may sign.
func (k *knownSecret) usable(now time.Time, for_ time.Duration) bool {
	return k != nil && k.problem == nil && !k.secrets.Current.IsZero() && now.Before(k.until.Add(for_))
}

// read begins to read a Secret behind, unless that was done within the last
// second; nil: no read is under way. Its caller holds the lock.
func (s *Signer) read(webhook *v1alpha1.Webhook, want basis, now time.Time) *reading {
	if under := s.reads[webhook.UID]; under != nil && under.basis == want {
		return under
	}
	if last, ok := s.asked[webhook.UID]; ok && last.basis == want && now.Before(last.at.Add(askAgain)) {
		return nil
	}
	under := &reading{basis: want, began: now, ended: make(chan struct{})}
	s.reads[webhook.UID], s.asked[webhook.UID] = under, lastAsked{want, now}
	go s.readBehind(webhook, under)
	return under
}

func (s *Signer) readBehind(webhook *v1alpha1.Webhook, under *reading) {
	defer close(under.ended)
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if s.behind.Acquire(ctx, 1) != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endRead(webhook.UID, under)
		return
	}
	secret, err := s.get(ctx, webhook.Namespace, under.basis.ref.Name)
	s.behind.Release(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endRead(webhook.UID, under) {
		_, _ = s.take(webhook, under.basis, secret, err) // what is known tells
	}
}

// endRead reports whether a read still counts: the Webhook may be gone, or have
// changed. Its caller holds the lock.
func (s *Signer) endRead(webhook types.UID, under *reading) bool {
	if s.reads[webhook] != under {
		return false
	}
	delete(s.reads, webhook)
	return true
}

// Await waits until the secrets of Webhooks for which Recent said ErrReading may
// be there, at most until ctx ends. They are read side by side.
func (s *Signer) Await(ctx context.Context, webhooks []types.UID) {
	for _, uid := range webhooks {
		s.mu.Lock()
		under, known := s.reads[uid], s.known[uid]
		s.mu.Unlock()
		if under == nil {
			continue
		}
		wait := apiTimeout
		if known != nil && known.basis == under.basis && known.usable(s.now(), awayFor) {
			wait = answerWait - s.now().Sub(under.began)
		}
		timer := time.NewTimer(wait)
		select {
		case <-under.ended:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
