// SPDX-License-Identifier: Apache-2.0

// Command receiver accepts webhooks of BB-MCP: it checks the signature and its
// time, drops repetitions and answers at once; the work is done afterwards.
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxBody   = 512 << 10 // bodies have at most 256 KiB
	tolerance = 5 * time.Minute
)

type event struct {
	id, kind string
	body     []byte
}

// receiver remembers in memory. Use a unique key in your database for the ids
// and a queue that survives a restart: once we answered 2xx the event is ours.
type receiver struct {
	key   []byte
	queue chan event

	mu     sync.Mutex
	seen   map[string]bool
	recent []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, "body too large", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		return // the connection broke
	}
	if !verify(req.Header, body, r.key, time.Now()) {
		http.Error(w, "wrong signature", http.StatusUnauthorized)
		return
	}
	if !r.accept(event{req.Header.Get("webhook-id"), req.Header.Get("X-BBMCP-Event"), body}) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// verify checks the signature over id, time and body as they arrived, in constant
// time, and refuses what was signed more than five minutes ago: every attempt has
// a time of its own, so only replays are that old.
func verify(header http.Header, body, key []byte, now time.Time) bool {
	timestamp := header.Get("webhook-timestamp")
	signed, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(signed, 0)).Abs() > tolerance {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", header.Get("webhook-id"), timestamp, body)
	expected := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, signature := range strings.Fields(header.Get("webhook-signature")) { // two during a rotation
		if hmac.Equal([]byte(signature), []byte(expected)) {
			return true
		}
	}
	return false
}

// keyOf is what a secret signs with: what follows whsec_, decoded, or all of it.
func keyOf(secret string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		return base64.StdEncoding.DecodeString(encoded)
	}
	return []byte(secret), nil
}

// accept queues an event unless it was seen before; false: the queue is full.
func (r *receiver) accept(e event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[e.id] {
		return true
	}
	select {
	case r.queue <- e:
	default:
		return false
	}
	r.seen[e.id] = true
	if r.recent = append(r.recent, e.id); len(r.recent) > 10_000 {
		delete(r.seen, r.recent[0])
		r.recent = r.recent[1:]
	}
	return true
}

func main() {
	key, err := keyOf(os.Getenv("WEBHOOK_SECRET"))
	if err != nil || len(key) == 0 {
		log.Fatal("WEBHOOK_SECRET is not set, or is not the whole secret")
	}
	r := &receiver{key: key, queue: make(chan event, 1000), seen: map[string]bool{}}
	go func() {
		for e := range r.queue {
			fmt.Println("processed", e.id, e.kind) // your work goes here
		}
	}()
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/bbmcp", r)
	// Behind the proxy that ends TLS; in a container set HOST=0.0.0.0.
	address := net.JoinHostPort(cmp.Or(os.Getenv("HOST"), "127.0.0.1"), cmp.Or(os.Getenv("PORT"), "8080"))
	server := &http.Server{Addr: address, Handler: mux, ReadTimeout: 30 * time.Second}
	log.Fatal(server.ListenAndServe())
}
