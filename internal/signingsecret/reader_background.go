// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	// refreshGrace is for how long secrets that are due to be read again are used,
	// while a read is under way in the background.
	refreshGrace = time.Minute
	// outageGrace is for how long they are used, after they were due, where the API
	// server does not answer within answerWait.
	outageGrace = 15 * time.Minute
	answerWait  = 250 * time.Millisecond
	// readInterval is the pause between two reads without an answer.
	readInterval = time.Second
	// maxBackgroundReads bounds the Secrets that are read at a time for Recent.
	maxBackgroundReads = 64
)

// secretRead is a read of one Webhook's Secret that is under way.
type secretRead struct {
	basis basis
	began time.Time
	ended chan struct{} // closed when what is known tells what came of it
}

// beginBackgroundRead begins to read a Secret in the background, unless that was done within the last
// second; nil: no read is under way. Its caller holds the lock.
func (r *Reader) beginBackgroundRead(webhook *v1alpha1.Webhook, want basis, now time.Time) *secretRead {
	if read := r.reads[webhook.UID]; read != nil && read.basis == want {
		return read
	}
	if last, ok := r.lastReads[webhook.UID]; ok && last.basis == want && now.Before(last.at.Add(readInterval)) {
		return nil
	}
	read := &secretRead{basis: want, began: now, ended: make(chan struct{})}
	r.reads[webhook.UID], r.lastReads[webhook.UID] = read, lastRead{want, now}
	go r.readInBackground(webhook, read)
	return read
}

func (r *Reader) readInBackground(webhook *v1alpha1.Webhook, read *secretRead) {
	defer close(read.ended)
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	if r.backgroundReads.Acquire(ctx, 1) != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.endBackgroundRead(webhook.UID, read)
		return
	}
	secret, err := r.get(ctx, webhook.Namespace, read.basis.ref.Name)
	r.backgroundReads.Release(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endBackgroundRead(webhook.UID, read) {
		_, _ = r.store(webhook, read.basis, secret, err) // what is known tells
	}
}

// endBackgroundRead reports whether a read still counts: the Webhook may be gone, or have
// changed. Its caller holds the lock.
func (r *Reader) endBackgroundRead(webhook types.UID, read *secretRead) bool {
	if r.reads[webhook] != read {
		return false
	}
	delete(r.reads, webhook)
	return true
}

// AwaitReads waits until the secrets of Webhooks for which Recent said ErrReading may
// be there, at most until ctx ends. They are read side by side.
func (r *Reader) AwaitReads(ctx context.Context, webhooks []types.UID) {
	for _, uid := range webhooks {
		r.mu.Lock()
		read, known := r.reads[uid], r.cached[uid]
		r.mu.Unlock()
		if read == nil {
			continue
		}
		wait := apiTimeout
		if known != nil && known.basis == read.basis && known.isUsable(r.now(), outageGrace) {
			wait = answerWait - r.now().Sub(read.began)
		}
		if wait <= 0 {
			continue // those before it took its time
		}
		timer := time.NewTimer(wait)
		select {
		case <-read.ended:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}
