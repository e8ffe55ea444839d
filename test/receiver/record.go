// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Received is one POST that arrived.
type Received struct {
	At       time.Time   `json:"at"`
	Host     string      `json:"host"`
	Path     string      `json:"path"`
	EventID  string      `json:"eventID"`
	Event    string      `json:"event"`
	Delivery string      `json:"delivery"`
	Attempt  string      `json:"attempt"`
	Status   int         `json:"status"` // answered or about to be; 0 for a fault without a status
	Ours     bool        `json:"ours"`   // X-BBMCP-Signature is right under a secret known here
	Next     bool        `json:"next"`   // X-BBMCP-Signature-Next is
	Standard bool        `json:"standard"`
	Proto    string      `json:"proto"`
	Header   http.Header `json:"-"`
	Body     string      `json:"body"`
}

// Verified reports whether both of our signatures are right.
func (r Received) Verified() bool { return r.Ours && r.Standard }

// Counts sum up what arrived.
type Counts struct {
	Posts    int `json:"posts"`
	Verified int `json:"verified"` // posts with both signatures right
	Unique   int `json:"unique"`   // distinct pairs of webhook-id and delivery
	Accepted int `json:"accepted"` // of these, how many were answered 2xx at least once
	// Duplicates are posts answered 2xx beyond the first of their pair.
	Duplicates int `json:"duplicates"`
	// Repeated are posts whose pair and attempt number arrived before.
	Repeated int `json:"repeated"`
}

type pair struct{ eventID, delivery string }

type tally struct {
	counts   Counts
	accepted map[pair]bool
	attempts map[pair]map[string]bool
	kept     []Received
}

func newTally() *tally {
	return &tally{accepted: make(map[pair]bool), attempts: make(map[pair]map[string]bool)}
}

func (t *tally) add(r Received, keep int) {
	key := pair{r.EventID, r.Delivery}
	t.counts.Posts++
	if r.Verified() {
		t.counts.Verified++
	}
	seen, known := t.attempts[key]
	if !known {
		seen = make(map[string]bool, 1)
		t.attempts[key] = seen
		t.counts.Unique++
	}
	if seen[r.Attempt] {
		t.counts.Repeated++
	}
	seen[r.Attempt] = true
	if r.Status >= 200 && r.Status <= 299 {
		if t.accepted[key] {
			t.counts.Duplicates++
		} else {
			t.accepted[key] = true
			t.counts.Accepted++
		}
	}
	if len(t.kept) < keep {
		t.kept = append(t.kept, r)
	}
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
	r.total, r.paths = newTally(), make(map[string]*tally)
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

func (r *Receiver) record(one Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.paths[one.Path]
	if !ok {
		t = newTally()
		r.paths[one.Path] = t
	}
	t.add(one, r.options.Keep)
	r.total.add(one, r.options.Keep)
	close(r.changed)
	r.changed = make(chan struct{})
}

// verify checks a request against the secrets known for its path.
func verify(header http.Header, body []byte, secrets []string) (ours, next, standard bool) {
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		want := hex.EncodeToString(mac.Sum(nil))
		ours = ours || header.Get("X-BBMCP-Signature") == want
		next = next || header.Get("X-BBMCP-Signature-Next") == want
		standard = standard || verifiesAsStandard(header, body, secret)
	}
	return ours, next, standard
}

func verifiesAsStandard(header http.Header, body []byte, secret string) bool {
	webhook, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if strings.HasPrefix(secret, "whsec_") {
		webhook, err = standardwebhooks.NewWebhook(secret)
	}
	return err == nil && webhook.Verify(body, header) == nil
}
