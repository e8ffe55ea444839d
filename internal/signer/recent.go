// SPDX-License-Identifier: Apache-2.0

package signer

import (
	"context"
	"errors"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	// staleFor is for how long secrets are used on after they should have been
	// read again, while the API server cannot be asked.
	staleFor = time.Minute
	// askAgain is the pause between two questions that get no answer.
	askAgain = time.Second
)

// ErrUnknown says that a secret is not known and that it was tried in vain to
// read it a moment ago.
var ErrUnknown = errors.New("the signing secret cannot be read at present")

// Recent is Read for who has another way if there is no secret at hand: while
// the API server is away it returns what was read last, for a minute more, and
// it asks at most once a second for each Webhook.
func (s *Signer) Recent(ctx context.Context, webhook *v1alpha1.Webhook) (Secrets, error) {
	ref := RefOf(webhook)
	s.mu.Lock()
	known, ok := s.known[webhook.UID]
	ok = ok && known.ref == ref
	now := s.now()
	switch {
	case ok && now.Before(known.until):
		defer s.mu.Unlock()
		if known.problem != nil {
			return Secrets{}, known.problem
		}
		return known.secrets, nil
	case now.Before(s.asked[webhook.UID].Add(askAgain)):
		defer s.mu.Unlock()
		return known.stale(ok, now)
	}
	s.asked[webhook.UID] = now
	s.mu.Unlock()
	secrets, err := s.Refresh(ctx, webhook)
	if _, isProblem := errors.AsType[*Problem](err); err == nil || isProblem {
		return secrets, err
	}
	if secrets, staleErr := known.stale(ok, now); staleErr == nil {
		return secrets, nil
	}
	return Secrets{}, err
}

// stale returns secrets whose time to be read again has come, if that was not
// long ago.
func (k *knownSecret) stale(ok bool, now time.Time) (Secrets, error) {
	if !ok || k.problem != nil || k.secrets.Current.IsZero() || !now.Before(k.until.Add(staleFor)) {
		return Secrets{}, ErrUnknown
	}
	return k.secrets, nil
}
