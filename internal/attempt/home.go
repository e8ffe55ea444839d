// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// reliefAfter, in times of StallAfter, is for how long nothing must have been
// written in vain before one attempt probes a home.
const reliefAfter = 5

// home follows whether the status writes of deliveries are taken: in one namespace,
// or by the API server at all.
type home struct {
	failing bool
	since   time.Duration // first failure after the last success
	latest  time.Duration // latest failure or probe
}

func (w *home) stalled(now, after time.Duration) bool {
	return w.failing && now >= w.since+after
}

func (w *home) fail(now time.Duration) {
	if !w.failing {
		w.failing, w.since = true, now
	}
	w.latest = now
}

// mayProbe reports whether, while writes are stalled, one attempt may be the probe
// of whether they work again. As long as outcomes wait, their writes are the probe.
func (w *home) mayProbe(unsettled int, now, after time.Duration) bool {
	return unsettled == 0 && now >= w.latest+reliefAfter*after
}

// homes follows the homes of deliveries: the API server, as far as it takes writes
// in their namespace. An admission webhook, a policy or a quota can refuse there
// what it takes everywhere else. While writes of a namespace fail nothing of it
// starts, and its outcomes keep no slots from others.
type homes struct {
	apiServer  home
	failing    map[*namespace]struct{}
	lastWrite  time.Duration // that was taken
	stallAfter time.Duration
}

// reached notes that the API server has answered. It reports whether that is news.
func (s *homes) reached() bool {
	failed := s.apiServer.failing
	s.apiServer = home{}
	return failed
}

// fail notes that a write of a namespace was not taken. It reports whether nothing
// of the namespace starts because of that.
func (s *homes) fail(space *namespace, now time.Duration) (stalled bool) {
	space.writes.fail(now)
	s.failing[space] = struct{}{}
	return space.writes.stalled(now, s.stallAfter)
}

// forget drops what is known of the writes of a namespace.
func (s *homes) forget(space *namespace) {
	space.writes = home{}
	delete(s.failing, space)
}

// stalled reports whether nothing of a namespace may be sent, but for a probe.
func (s *homes) stalled(space *namespace, now time.Duration) bool {
	return s.apiServer.stalled(now, s.stallAfter) || space.writes.stalled(now, s.stallAfter)
}

// mayProbe reports whether an attempt of a namespace may be the probe of its writes.
func (s *homes) mayProbe(space *namespace, now time.Duration) bool {
	return space.writes.stalled(now, s.stallAfter) && space.writes.mayProbe(space.unsettled, now, s.stallAfter)
}

// blocks reports whether nothing of a namespace may start because its writes fail.
func (s *homes) blocks(space *namespace, now time.Duration) bool {
	return space.writes.stalled(now, s.stallAfter) && !space.writes.mayProbe(space.unsettled, now, s.stallAfter)
}

// markProbe reports whether an attempt of a namespace that starts is a probe, and
// notes it.
func (s *homes) markProbe(space *namespace, now time.Duration) (probe bool) {
	for _, w := range []*home{&s.apiServer, &space.writes} {
		if w.stalled(now, s.stallAfter) {
			probe = true
			w.latest = now
		}
	}
	return probe
}

// nextProbe returns when the next namespace may send a probe.
func (s *homes) nextProbe(now time.Duration) time.Duration {
	at := never
	for space := range s.failing {
		if relief := space.writes.latest + reliefAfter*s.stallAfter; space.writeWaiters.n > 0 && space.unsettled == 0 && relief > now {
			at = min(at, relief)
		}
	}
	return at
}

// stalledNamespaces is how many namespaces have writes that have been failing, and
// whether all of them do, as far as is known: nothing has been written anywhere
// since the first of them began, and no other namespace has an attempt to make.
func (s *homes) stalledNamespaces(webhooks map[types.NamespacedName]*webhook, now time.Duration) (n int, all bool) {
	first, waiting := never, 0
	for space := range s.failing {
		if space.writes.stalled(now, s.stallAfter) {
			n++
			first = min(first, space.writes.since)
		}
	}
	for _, h := range webhooks {
		if h.queue.n > 0 && !h.namespace.writes.stalled(now, s.stallAfter) {
			waiting++
		}
	}
	return n, n > 1 && s.lastWrite < first && waiting == 0
}
