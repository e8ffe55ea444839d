// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options configure a Receiver.
type Options struct {
	// Listen is the TCP address; "" is a free port of 127.0.0.1.
	Listen string
	// Certificate makes it speak TLS, HTTP/2 included; see Authority.
	Certificate *tls.Certificate
	// Keep is how many posts are kept whole, per path and in all; 0 is 1000,
	// negative is none. Counting has no limit.
	Keep int
	// OnReceived is called for every post, from many goroutines.
	OnReceived func(Received)
}

const (
	defaultKeep  = 1000
	maxBodyBytes = 4 << 20
)

// Receiver answers posts as its scripts say and counts them.
type Receiver struct {
	options  Options
	listener net.Listener
	server   *http.Server
	closing  context.CancelFunc
	closed   context.Context //nolint:containedctx // ends hanging answers when the receiver does

	bomb func() []byte // made when first asked for

	mu      sync.Mutex
	scripts map[string]*script
	secrets map[string][]string
	total   *receivedTally
	paths   map[string]*receivedTally
	changed chan struct{} // closed and replaced whenever something arrives
}

// Start makes a Receiver that listens already.
func Start(options Options) (*Receiver, error) {
	if options.Listen == "" {
		options.Listen = "127.0.0.1:0"
	}
	if options.Keep == 0 {
		options.Keep = defaultKeep
	}
	listener, err := net.Listen("tcp", options.Listen)
	if err != nil {
		return nil, err
	}
	r := &Receiver{
		options: options, listener: listener, bomb: sync.OnceValue(answerBomb),
		scripts: make(map[string]*script), secrets: make(map[string][]string),
		total: newReceivedTally(), paths: make(map[string]*receivedTally), changed: make(chan struct{}),
	}
	r.closed, r.closing = context.WithCancel(context.Background())
	r.server = &http.Server{
		Handler: r.handler(), ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // senders that hang up are what is tested
	}
	if options.Certificate != nil {
		r.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*options.Certificate}, MinVersion: tls.VersionTLS12}
		go func() { _ = r.server.ServeTLS(listener, "", "") }()
	} else {
		go func() { _ = r.server.Serve(listener) }()
	}
	return r, nil
}

// Close ends the receiver and every answer it still owes.
func (r *Receiver) Close() {
	r.closing()
	_ = r.server.Close()
}

// Addr is the address it listens on, host:port.
func (r *Receiver) Addr() string { return r.listener.Addr().String() }

// URL returns the URL of a path.
func (r *Receiver) URL(path string) string {
	if r.options.Certificate != nil {
		return "https://" + r.Addr() + path
	}
	return "http://" + r.Addr() + path
}

// Script sets how posts to a path are answered from now on: step by step, the
// last one for ever. The path can carry a host in front ("a.example/hook"),
// which then wins over the path alone; "" is for all that have no script.
// Without any script the answer is 200.
func (r *Receiver) Script(path string, steps ...Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts[path] = &script{steps: steps}
}

// Secrets sets the secrets that verify posts to a path; "" is for all that have
// none. An empty secret is refused: everything would verify.
func (r *Receiver) Secrets(path string, secrets ...string) error {
	for _, secret := range secrets {
		if secret == "" || secret == "whsec_" {
			return errors.New("empty secret")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[path] = secrets
	return nil
}

// handler serves the control API beside the hooks.
func (r *Receiver) handler() http.Handler {
	control := r.control()
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if _, pattern := control.Handler(request); pattern != "" {
			control.ServeHTTP(w, request)
			return
		}
		r.receive(w, request)
	})
}

func (r *Receiver) receive(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBodyBytes))
	if err != nil {
		return // a request cut short was not received
	}
	one := Received{
		At: time.Now(), Host: request.Host, Path: request.URL.Path, Proto: request.Proto,
		EventID: request.Header.Get("webhook-id"), Event: request.Header.Get("X-BBMCP-Event"),
		Delivery: request.Header.Get("X-BBMCP-Delivery"), Attempt: request.Header.Get("X-BBMCP-Attempt"),
	}
	step, secrets := r.plan(request.Host, one.Path)
	one.Ours, one.Next, one.Standard = verifyReceived(request.Header, body, secrets)
	if step.Fault == CheckSignature {
		step.Status = http.StatusUnauthorized
		if one.Ours {
			step.Status = http.StatusOK
		}
	}
	one.Status = step.answeredStatus()
	if r.options.Keep > 0 {
		one.Header, one.Body = request.Header.Clone(), string(body)
	}
	if r.options.OnReceived != nil { // first: a test that waits for the count may ask what was told
		r.options.OnReceived(one)
	}
	r.record(one)
	if step.Delay > 0 && !r.pause(request.Context(), step.Delay) {
		return
	}
	r.answer(w, request, step, body)
}

// plan returns how to answer a post and which secrets it may be signed with.
func (r *Receiver) plan(host, path string) (Step, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var step Step
	for _, key := range []string{host + path, path, ""} {
		if s, ok := r.scripts[key]; ok {
			step = s.next()
			break
		}
	}
	for _, key := range []string{host + path, path, ""} {
		if secrets, ok := r.secrets[key]; ok {
			return step, secrets
		}
	}
	return step, nil
}

// pause waits; it returns false if the sender or the receiver went away.
func (r *Receiver) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-r.closed.Done():
	}
	return false
}

// Counts returns the counts of one path, or of all paths together for "".
func (r *Receiver) Counts(path string) Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	if path == "" {
		return r.total.counts
	}
	if t, ok := r.paths[path]; ok {
		return t.counts
	}
	return Counts{}
}

// Paths returns the counts of every path that something arrived at.
func (r *Receiver) Paths() map[string]Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := make(map[string]Counts, len(r.paths))
	for path, t := range r.paths {
		paths[path] = t.counts
	}
	return paths
}

// Received returns what was kept of one path, or of all for "", in order of
// arrival: the first Options.Keep posts.
func (r *Receiver) Received(path string) []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	if path == "" {
		return slices.Clone(r.total.kept)
	}
	if t, ok := r.paths[path]; ok {
		return slices.Clone(t.kept)
	}
	return nil
}

// Forget empties counts and records; scripts go on where they are.
func (r *Receiver) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total, r.paths = newReceivedTally(), make(map[string]*receivedTally)
}

// Wait returns once done says so of the counts of a path, or with an error that
// tells the last counts when ctx ends.
func (r *Receiver) Wait(ctx context.Context, path string, done func(Counts) bool) error {
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		counts := r.Counts(path)
		if done(counts) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waited for posts to %q, got %+v: %w", path, counts, ctx.Err())
		}
	}
}
