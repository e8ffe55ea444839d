// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// heartbeat is the interval of comments that keep an idle connection open and detect a
	// broken one.
	heartbeat = 15 * time.Second
	// recheckInterval is how often a stream checks again whether its caller still has the
	// right. The answers are cached as for any other request.
	recheckInterval = time.Minute
	// writeTimeout bounds a write to a browser that reads nothing.
	writeTimeout = 10 * time.Second

	defaultStreams       = 500
	defaultCallerStreams = 20
)

// livePages bounds live pages: in all, of a caller, and of a namespace.
type livePages struct {
	max, maxPerCaller int

	mu         sync.Mutex
	total      int
	callers    map[string]int
	namespaces map[string]int
}

func newLivePages(most, mostOfCaller int) *livePages {
	if most == 0 {
		most = defaultStreams
	}
	if mostOfCaller == 0 {
		mostOfCaller = defaultCallerStreams
	}
	return &livePages{max: most, maxPerCaller: mostOfCaller, callers: map[string]int{}, namespaces: map[string]int{}}
}

// acquire counts one more live page, if there may be one; release ends it. A namespace
// gets no more pages than remain for all other namespaces.
func (s *livePages) acquire(caller, namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callers[caller] >= s.maxPerCaller || s.namespaces[namespace] >= s.max-s.total {
		return false
	}
	s.total++
	s.callers[caller]++
	s.namespaces[namespace]++
	return true
}

func (s *livePages) release(caller, namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	decrementLivePages(s.callers, caller)
	decrementLivePages(s.namespaces, namespace)
}

// decrementLivePages removes a count that reaches zero.
func decrementLivePages(counts map[string]int, key string) {
	counts[key]--
	if counts[key] == 0 {
		delete(counts, key)
	}
}

// serveLive tells a page that it is out of date, by server-sent events (the WHATWG's
// HTML, section 9.2). It tells nothing else: the page asks for itself again, with
// its own rights. A page that gets no stream asks every few seconds instead.
func (v *visit) serveLive() error {
	query := v.request.URL.Query()
	topic := Topic{Webhook: query.Get("webhook"), Delivery: query.Get("delivery")}
	if err := v.requireLiveRight(topic); err != nil {
		return err
	}
	if !v.d.streams.acquire(v.caller.Name, v.namespace) {
		v.w.Header().Set("Retry-After", "60")
		http.Error(v.w, "Too many live pages. This one asks for itself again every few seconds instead.", http.StatusTooManyRequests)
		return nil
	}
	defer v.d.streams.release(v.caller.Name, v.namespace)
	changes, stop := v.d.backend.Subscribe(v.namespace, topic)
	defer stop()
	header := v.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it back
	if v.writeLiveMessage("retry: 5000\nevent: ready\ndata: \n\n") != nil {
		return nil
	}
	v.writeLiveNotices(changes, topic)
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Time{}) // the connection may serve other requests
	return nil
}

// writeLiveNotices writes notices until the browser hangs up, the server ends or the caller
// loses the right.
func (v *visit) writeLiveNotices(changes <-chan struct{}, topic Topic) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	check := time.NewTicker(recheckInterval)
	defer check.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	listen := changes
	for {
		message := ": beat\n\n"
		select {
		case <-v.ctx().Done():
			return
		case <-v.d.closed:
			return
		case <-pause.C: // all changes of the pause are one more notice
			listen = changes
			continue
		case <-listen:
			listen = nil
			pause.Reset(v.d.interval)
			message = fmt.Sprintf("event: change\ndata: %d\n\n", v.d.now().UnixMilli())
		case <-check.C:
			if _, _, err := v.d.backend.Authenticate(v.ctx(), v.token); err != nil || v.requireLiveRight(topic) != nil {
				return
			}
			continue
		case <-beat.C:
		}
		if v.writeLiveMessage(message) != nil {
			return
		}
	}
}

func (v *visit) writeLiveMessage(message string) error {
	control := http.NewResponseController(v.w)
	if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := v.w.Write([]byte(message)); err != nil {
		return err
	}
	return control.Flush()
}

// requireLiveRight checks the right to read the objects of a topic.
func (v *visit) requireLiveRight(topic Topic) error {
	var allowed bool
	switch {
	case topic.Delivery != "":
		allowed = v.may("get", "webhookdeliveries", "")
	case topic.Webhook != "":
		allowed = v.may("list", "webhooks", "") || v.may("list", "webhookdeliveries", "")
	default:
		allowed = v.may("list", "webhooks", "")
	}
	if !allowed {
		return newForbiddenPageError("follow this", "bbmcp-viewer")
	}
	return nil
}

// livePath is the path of the stream for a topic.
func (v *visit) livePath(topic Topic) string {
	return fmt.Sprintf("%s/live?webhook=%s&delivery=%s", v.basePath(), topic.Webhook, topic.Delivery)
}
