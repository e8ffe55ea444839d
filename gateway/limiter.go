// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"container/list"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/signer"
)

const (
	// strikesToClose is how many first attempts must fail in a row before a
	// webhook's events go the durable way.
	strikesToClose = 3
	// closedFirst and closedMost bound how long that lasts before one attempt
	// finds out.
	closedFirst = time.Second
	closedMost  = 30 * time.Second
	// slowFirst and slowMost do so for an endpoint that was slower than the wait. The
	// first time may be a hiccup of the whole machine, and to store every event to a
	// webhook that is busy makes that worse.
	slowFirst = time.Second
	slowMost  = 2 * time.Minute
	// untriedAtOnce is how many attempts of a webhook may be out of which none has
	// succeeded lately.
	untriedAtOnce = 2
	// provenFor is how long a success counts as lately.
	provenFor = 10 * time.Minute
	// wellFor is for how long a success counts more than a status that says failing.
	wellFor = 30 * time.Second
)

// refusal says why there is no first attempt; "" if there may be one. It is the
// label of a metric.
type refusal string

const (
	refusedOff       refusal = "off"       // no first attempts are made here
	refusedAsync     refusal = "async"     // the publisher asked not to wait
	refusedTooOld    refusal = "tooOld"    // this gateway does not know all of the webhook's spec
	refusedNotActive refusal = "notActive" // failing, suspended, or not seen by the controller yet
	refusedSecret    refusal = "secret"    // no secret at hand
	refusedClosed    refusal = "closed"    // the endpoint was slow, failed, or asked to be left alone
	refusedFull      refusal = "full"      // no free slot
	refusedReading   refusal = "reading"   // its secret is being read: for the moment only
	refusedLate      refusal = "late"      // the request's time is nearly over
)

// slots bound the first attempts that are out, and remember which endpoints are
// not worth one. Webhooks that are not known to answer in time share half as
// many slots again, beside those of the others: what hangs takes nothing from
// what does not. Safe for concurrent use; nothing here waits.
type slots struct {
	sizes          [2]int // slots, by kind
	perWebhook     int
	perDestination int
	slowAfter      time.Duration

	mu           sync.Mutex
	used         [2]int                 // by kind
	spaces       map[string]*spaceSlots // by namespace
	young        list.List              // of *slot, of attempts that are not late, oldest first
	lines        sharedLines            // for the bounds that webhooks share
	hooks        map[webhookKey]*hookSlots
	destinations map[string]*destinationSlots
	told         map[webhookKey]*hearsay // by objects
	toldSwept    time.Time               // when what no longer matters of it was last dropped
}

// Kinds of slots.
const (
	kindPrompt = iota
	kindDoubtful
)

type destinationSlots struct {
	address     string
	out         int
	byNamespace map[string]int // of out
	hooks       int
}

// hookSlots is what is known of one webhook.
type hookSlots struct {
	key         webhookKey
	url         string
	signing     v1alpha1.SecretKeyReference
	revision    string // of url and signing
	destination *destinationSlots
	out         int
	lastSuccess time.Time
	typical     time.Duration // moving average of the time to an answer
	strikes     int           // failures in a row
	lastStrike  time.Time
	slowness    int // times in a row that it was slower than the wait
	closedUntil time.Time
	// askedUntil is until when the endpoint asked to be left alone. What came in
	// before goes first.
	askedUntil time.Time
	line       list.List // of *turn, who wait for a slot
}

func newSlots(total, perWebhook, perDestination int, slowAfter time.Duration) *slots {
	return &slots{
		sizes: [2]int{total, max(1, total/2)}, perWebhook: perWebhook, perDestination: perDestination, slowAfter: slowAfter,
		spaces: map[string]*spaceSlots{}, lines: newSharedLines(),
		hooks: map[webhookKey]*hookSlots{}, destinations: map[string]*destinationSlots{}, told: map[webhookKey]*hearsay{},
	}
}

// slot is a place that one attempt holds.
type slot struct {
	hook        *hookSlots
	destination *destinationSlots
	kind        int
	began       time.Time
	age         *list.Element // in slots.young, unless late
	late        bool
}

// take gives a webhook a slot. pending reports whether deliveries wait that came
// in before the time given; it is asked rarely, without the lock.
func (s *slots) take(webhook *v1alpha1.Webhook, now time.Time, pending func(before time.Time) bool) (*slot, refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ripen(now)
	h := s.hook(webhook, now)
	if asked := h.askedUntil; !asked.IsZero() && !now.Before(h.closedUntil) {
		s.mu.Unlock()
		waits := pending(asked)
		s.mu.Lock()
		h = s.hook(webhook, now) // it may have been forgotten meanwhile
		switch {
		case waits:
			h.close(now.Add(closedFirst))
		case h.askedUntil.Equal(asked):
			h.askedUntil = time.Time{}
		}
	}
	if now.Before(h.closedUntil) || s.isHung(h, now) {
		return nil, refusedClosed
	}
	if h.out >= s.limit(h, now) || !s.hasRoom(h, now) {
		return nil, refusedFull
	}
	h.out++
	at := &slot{hook: h, destination: h.destination, kind: s.kindOf(h, now), began: now}
	at.age = s.young.PushBack(at)
	s.charge(at, 1)
	return at, ""
}

func (h *hookSlots) isProven(now time.Time) bool { return now.Sub(h.lastSuccess) <= provenFor }

// isWell reports whether this process has just seen the endpoint of a webhook do well:
// later than it is said to have failed, or a moment ago. That counts more than a
// status, which says failing after one refusal among a hundred successes a second.
func (s *slots) isWell(webhook *v1alpha1.Webhook, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[keyOf(webhook)]
	if h == nil || !h.isEndpointOf(webhook) || h.lastSuccess.IsZero() || h.isProbed() {
		return false
	}
	failed := webhook.Status.LastFailureTime
	return now.Sub(h.lastSuccess) <= wellFor || failed != nil && h.lastSuccess.After(failed.Time)
}

// isProbed reports whether one attempt finds out how the endpoint does.
func (h *hookSlots) isProbed() bool { return h.strikes >= strikesToClose || h.slowness > 0 }

// limit is how many attempts of a webhook may be out.
func (s *slots) limit(h *hookSlots, now time.Time) int {
	switch {
	case h.isProbed():
		return 1
	case !h.isProven(now):
		return untriedAtOnce
	}
	return s.perWebhook
}

// hook returns what is known of a webhook: if its url or signing is another one, what
// objects tell of that.
func (s *slots) hook(webhook *v1alpha1.Webhook, now time.Time) *hookSlots {
	key := keyOf(webhook)
	h := s.hooks[key]
	if h != nil && h.isEndpointOf(webhook) {
		return h
	}
	if h != nil {
		s.leave(h)
	}
	h = &hookSlots{
		key: key, url: webhook.Spec.URL, signing: signer.RefOf(webhook), revision: signer.EndpointRevision(webhook),
		destination: s.destination(destination(webhook.Spec.URL)),
	}
	if told := s.told[key]; told != nil {
		h.obey(told.asked, now)
	}
	h.destination.hooks++
	s.space(key.namespace).hooks++
	s.hooks[key] = h
	return h
}

func (h *hookSlots) isEndpointOf(webhook *v1alpha1.Webhook) bool {
	return h.url == webhook.Spec.URL && h.signing == signer.RefOf(webhook)
}

func (s *slots) destination(address string) *destinationSlots {
	d := s.destinations[address]
	if d == nil {
		d = &destinationSlots{address: address, byNamespace: map[string]int{}}
		s.destinations[address] = d
	}
	return d
}

func (s *slots) leave(h *hookSlots) {
	h.destination.hooks--
	s.drop(h.destination)
	s.space(h.key.namespace).hooks--
	s.dropSpace(h.key.namespace)
}

func (s *slots) drop(d *destinationSlots) {
	if d.hooks == 0 && d.out == 0 {
		delete(s.destinations, d.address)
	}
}

// forget drops what is known of a webhook that is gone.
func (s *slots) forget(webhook webhookKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hooks[webhook]; h != nil {
		s.leave(h)
		delete(s.hooks, webhook)
	}
	delete(s.told, webhook)
}

// slow closes a webhook whose endpoint was slower than an endpoint may be.
func (h *hookSlots) slow(now time.Time) {
	if now.Before(h.closedUntil) && h.slowness > 0 {
		return // it was out together with the one that was heeded
	}
	h.slowness++
	h.rest(now)
}

// rest leaves an endpoint alone from now on that is slow, longer each time in a row.
func (h *hookSlots) rest(now time.Time) {
	if h.slowness == 0 {
		return // another attempt has been answered in time since
	}
	h.close(now.Add(min(slowFirst<<min(h.slowness-1, 8), slowMost)))
}

func (h *hookSlots) close(until time.Time) {
	if until.After(h.closedUntil) {
		h.closedUntil = until
	}
}

// free gives a slot back of which no answer is known.
func (s *slots) free(at *slot, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(at)
	s.callNext(at.hook, now)
}

func (s *slots) release(at *slot) {
	if !at.late {
		s.young.Remove(at.age)
	}
	at.hook.out--
	s.charge(at, -1)
}

// done gives a slot back and learns from the result.
func (s *slots) done(at *slot, result *dispatcher.Result, took time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(at)
	h := at.hook
	defer s.callNext(h, now)
	slow := took >= s.slowAfter
	if result.StatusCode != 0 && result.Reason != dispatcher.ReasonTimeout {
		if h.typical == 0 {
			h.typical = took
		}
		h.typical = (3*h.typical + took) / 4
	}
	switch {
	case slow && !at.late:
		h.slow(now)
	case slow:
		h.rest(now) // it was busy until now
	default:
		h.slowness = 0
	}
	if result.Succeeded() {
		h.strikes, h.lastSuccess = 0, now
		if h.slowness == 0 && h.askedUntil.IsZero() {
			h.closedUntil = time.Time{}
		}
		return
	}
	h.strikes++
	h.lastStrike = now
	switch {
	case !result.RetryAfter.IsZero():
		h.hold(result.RetryAfter)
	case result.Reason == dispatcher.ReasonGone:
		h.strikes = max(h.strikes, strikesToClose)
		h.close(now.Add(closedMost)) // the controller disables it meanwhile
	case h.strikes >= strikesToClose:
		h.close(now.Add(min(closedFirst<<min(h.strikes-strikesToClose, 8), closedMost)))
	}
}

// hold leaves a webhook alone whose endpoint asked for it.
func (h *hookSlots) hold(until time.Time) {
	h.strikes = max(h.strikes, strikesToClose)
	h.askedUntil = until
	h.close(until)
}

// out is how many attempts are out.
func (s *slots) out() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[kindPrompt] + s.used[kindDoubtful]
}

// destination is the host:port of a URL, as far as it can be told.
func destination(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	port := u.Port()
	if port == "" && u.Scheme == "http" {
		port = "80"
	}
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), port)
}
