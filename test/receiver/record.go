// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
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

type receivedTally struct {
	counts   Counts
	accepted map[pair]bool
	attempts map[pair]map[string]bool
	kept     []Received
}

func newReceivedTally() *receivedTally {
	return &receivedTally{accepted: make(map[pair]bool), attempts: make(map[pair]map[string]bool)}
}

func (t *receivedTally) add(r Received, keep int) {
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

func (r *Receiver) record(one Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.paths[one.Path]
	if !ok {
		t = newReceivedTally()
		r.paths[one.Path] = t
	}
	t.add(one, r.options.Keep)
	r.total.add(one, r.options.Keep)
	close(r.changed)
	r.changed = make(chan struct{})
}

// verifyReceived checks a request against the secrets known for its path.
func verifyReceived(header http.Header, body []byte, secrets []string) (ours, next, standard bool) {
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		want := hex.EncodeToString(mac.Sum(nil))
		ours = ours || header.Get("X-BBMCP-Signature") == want
		next = next || header.Get("X-BBMCP-Signature-Next") == want
		standard = standard || receivedVerifiesAsStandard(header, body, secret)
	}
	return ours, next, standard
}

func receivedVerifiesAsStandard(header http.Header, body []byte, secret string) bool {
	webhook, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if strings.HasPrefix(secret, "whsec_") {
		webhook, err = standardwebhooks.NewWebhook(secret)
	}
	return err == nil && webhook.Verify(body, header) == nil
}
