// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// heartbeat keeps connections open that say nothing, and finds those that
	// are gone.
	heartbeat = 15 * time.Second
	// recheck is how often a stream asks again whether its caller may still
	// follow. The answers are kept as long as for any other request.
	recheck = time.Minute
	// writeTimeout bounds what a browser that reads nothing costs.
	writeTimeout = 10 * time.Second

	defaultStreams       = 500
	defaultCallerStreams = 20
)

// streams counts live pages.
type streams struct {
	most, mostOfCaller int

	mu         sync.Mutex
	total      int
	callers    map[string]int
	namespaces map[string]int
}

func newStreams(most, mostOfCaller int) *streams {
	if most == 0 {
		most = defaultStreams
	}
	if mostOfCaller == 0 {
		mostOfCaller = defaultCallerStreams
	}
	return &streams{most: most, mostOfCaller: mostOfCaller, callers: map[string]int{}, namespaces: map[string]int{}}
}

// enter reports whether there may be one more; then leave ends it. The pages of a
// namespace are no more than are left free beside them.
func (s *streams) enter(caller, namespace string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callers[caller] >= s.mostOfCaller || s.namespaces[namespace] >= s.most-s.total {
		return false
	}
	s.total++
	s.callers[caller]++
	s.namespaces[namespace]++
	return true
}

func (s *streams) leave(caller, namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	decrement(s.callers, caller)
	decrement(s.namespaces, namespace)
}

// decrement keeps nothing of what has none left.
func decrement(counts map[string]int, key string) {
	counts[key]--
	if counts[key] == 0 {
		delete(counts, key)
	}
}

// live tells a page that it is out of date, by server-sent events (the WHATWG's
// HTML, section 9.2). It tells nothing else: the page asks for itself again, with
// its own rights. A page that gets no stream asks every few seconds instead.
func (v *visit) live() error {
	query := v.request.URL.Query()
	topic := Topic{Webhook: query.Get("webhook"), Delivery: query.Get("delivery")}
	if err := v.mayFollow(topic); err != nil {
		return err
	}
	if !v.d.streams.enter(v.caller.Name, v.namespace) {
		v.w.Header().Set("Retry-After", "60")
		http.Error(v.w, "Too many live pages. This one asks for itself again every few seconds instead.", http.StatusTooManyRequests)
		return nil
	}
	defer v.d.streams.leave(v.caller.Name, v.namespace)
	news, stop := v.d.backend.Follow(v.namespace, topic)
	defer stop()
	header := v.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would keep it back
	if v.say("retry: 5000\nevent: ready\ndata: \n\n") != nil {
		return nil
	}
	v.tell(news, topic)
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Time{}) // the connection may serve other requests
	return nil
}

// tell writes until the browser, the server or the caller's right is gone.
func (v *visit) tell(news <-chan struct{}, topic Topic) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	check := time.NewTicker(recheck)
	defer check.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	listen := news
	for {
		message := ": beat\n\n"
		select {
		case <-v.ctx().Done():
			return
		case <-v.d.ended:
			return
		case <-pause.C: // whatever happened meanwhile is one more message
			listen = news
			continue
		case <-listen:
			listen = nil
			pause.Reset(v.d.interval)
			message = fmt.Sprintf("event: change\ndata: %d\n\n", v.d.now().UnixMilli())
		case <-check.C:
			if _, _, err := v.d.backend.Identify(v.ctx(), v.token); err != nil || v.mayFollow(topic) != nil {
				return
			}
			continue
		case <-beat.C:
		}
		if v.say(message) != nil {
			return
		}
	}
}

func (v *visit) say(message string) error {
	control := http.NewResponseController(v.w)
	if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := v.w.Write([]byte(message)); err != nil {
		return err
	}
	return control.Flush()
}

// mayFollow is the right to read what a page of that topic shows.
func (v *visit) mayFollow(topic Topic) error {
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
		return mayNot("follow this", "bbmcp-viewer")
	}
	return nil
}
