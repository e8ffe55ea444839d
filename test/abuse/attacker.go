// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	// attackerVariable makes the test binary play the attacker of this case.
	attackerVariable = "ABUSE_ATTACKER"
	// niceness of attackers.
	niceness = "19"
	// attackerEnds is how long an attacker may take to notice that it is over.
	attackerEnds = 20 * time.Second
)

// attackerPlace is what an attacker knows.
type attackerPlace struct {
	// Gateway is the URL of the REST API, Host its host:port.
	Gateway, Host string
	// APIServer is the cluster's, CA what vouches for it.
	APIServer string
	CA        []byte
	// GatewayCA vouches for the gateway; empty: it serves without TLS.
	GatewayCA []byte
	// Namespace is the attacker's own; Tokens are of its ServiceAccounts by role.
	Namespace string
	Tokens    map[string]string
	// Given is what the case has arranged.
	Given map[string]string
	// Full: as large as what is claimed.
	Full bool
}

// attacker is the process that attacks.
type attacker struct {
	context.Context //nolint:containedctx // it is the attack

	attackerPlace

	client    *http.Client
	apiOnce   sync.Once
	apiClient *http.Client

	mu     sync.Mutex
	report attackReport
}

// attackReport is what came of an attack.
type attackReport struct {
	// Answers are how often each status or error came.
	Answers map[string]int
	// Longest is the longest time from a request to its answer.
	Longest time.Duration
	// Largest is how many bytes the largest answer had.
	Largest int
	// Samples has an answer's text for each key of Answers.
	Samples map[string]string
	// Taken is how many values of each field the API server has taken.
	Taken map[string]int
}

// total is how many answers there were.
func (r attackReport) total() int {
	sum := 0
	for _, n := range r.Answers {
		sum += n
	}
	return sum
}

func newAttacker(ctx context.Context, where attackerPlace) *attacker {
	var trusts *tls.Config
	if len(where.GatewayCA) > 0 {
		trusts = attackerTLSConfig(where.GatewayCA)
	}
	return &attacker{
		Context: ctx, attackerPlace: where, report: attackReport{Answers: map[string]int{}, Samples: map[string]string{}, Taken: map[string]int{}},
		client: &http.Client{
			Timeout:       answerWithin,
			Transport:     &http.Transport{MaxIdleConnsPerHost: 1000, TLSClientConfig: trusts},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func attackerTLSConfig(ca []byte) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// playAttacker is main of an attacker's process: it attacks until its input ends.
func playAttacker(act func(*attacker)) error {
	decoder := json.NewDecoder(os.Stdin)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var where attackerPlace
	if err := decoder.Decode(&where); err != nil {
		return err
	}
	a := newAttacker(ctx, where)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	act(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(a.report)
}

// note counts an answer.
func (a *attacker) note(key, sample string, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Answers[key]++
	a.report.Longest = max(a.report.Longest, took)
	if a.report.Samples[key] == "" {
		a.report.Samples[key] = sample[:min(len(sample), 300)]
	}
}

// call is a request of an attacker.
type call struct {
	method, path, token string
	header              map[string]string
	body                []byte
}

// do makes a request to the gateway and counts its answer.
func (a *attacker) do(c call) (status int, text string) {
	if c.method == "" {
		c.method = http.MethodPost
	}
	began := time.Now()
	request, err := http.NewRequestWithContext(a, c.method, a.Gateway+c.path, bytes.NewReader(c.body))
	if err != nil {
		a.note(err.Error(), "", 0)
		return 0, ""
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if len(c.body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	response, err := a.client.Do(request)
	if err != nil {
		if a.Err() == nil {
			a.note("no answer", err.Error(), time.Since(began))
		}
		return 0, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	rest, _ := io.Copy(io.Discard, response.Body)
	if err != nil && a.Err() != nil {
		return 0, ""
	}
	a.note(fmt.Sprint(response.StatusCode), string(body), time.Since(began))
	a.mu.Lock()
	a.report.Largest = max(a.report.Largest, len(body)+int(rest))
	a.mu.Unlock()
	return response.StatusCode, string(body)
}

// repeat calls do with 0, 1, 2 … from so many goroutines until the attack ends.
func (a *attacker) repeat(width int, do func(i int)) {
	var all sync.WaitGroup
	for w := range width {
		all.Go(func() {
			for i := w; a.Err() == nil; i += width {
				do(i)
			}
		})
	}
	all.Wait()
}

// pace calls do with 0, 1, 2 … so many times a second, as long as no more than
// width calls are under way.
func (a *attacker) pace(perSecond, width int, do func(i int)) {
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	free := make(chan struct{}, width)
	for i := 0; a.Err() == nil; i++ {
		select {
		case <-tick.C:
		case <-a.Done():
			return
		}
		free <- struct{}{}
		all.Go(func() {
			do(i)
			<-free
		})
	}
}

// wait waits, or until the attack ends.
func (a *attacker) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.Done():
	}
}

// closeAtEnd closes a connection when the attack ends, and at once when what it
// returns is called.
func (a *attacker) closeAtEnd(conn net.Conn) (closeNow func()) {
	forget := context.AfterFunc(a, func() { _ = conn.Close() })
	return func() {
		forget()
		_ = conn.Close()
	}
}

// api makes a request to the API server about an object of ours, with the attacker's
// own rights, and counts its answer.
func (a *attacker) api(method, resource, namespace, name, contentType string, body []byte) {
	path := "/apis/" + v1alpha1.GroupVersion.String() + "/namespaces/" + namespace + "/" + resource
	if name != "" {
		path += "/" + name
	}
	a.apiPath(method, path, contentType, body)
}

// apiPath makes any request to the API server; 0: there was no answer.
func (a *attacker) apiPath(method, path, contentType string, body []byte) (status int) {
	a.apiOnce.Do(func() {
		a.apiClient = &http.Client{Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: 1000, TLSClientConfig: attackerTLSConfig(a.CA)}}
	})
	request, err := http.NewRequestWithContext(a, method, a.APIServer+path, bytes.NewReader(body))
	if err != nil {
		a.note(err.Error(), "", 0)
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+a.Tokens["admin"])
	request.Header.Set("Content-Type", contentType)
	began := time.Now()
	response, err := a.apiClient.Do(request)
	if err != nil {
		if a.Err() == nil {
			a.note("API server: no answer", err.Error(), time.Since(began))
		}
		return 0
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	a.note(fmt.Sprint("API server: ", response.StatusCode), string(text), time.Since(began))
	return response.StatusCode
}

// create makes an object.
func (a *attacker) create(resource, namespace string, metadata, spec map[string]any) {
	kind := map[string]string{"webhooks": "Webhook", "webhookdeliveries": "WebhookDelivery"}[resource]
	text, err := json.Marshal(map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind, "metadata": metadata, "spec": spec})
	if err != nil {
		a.note(err.Error(), "", 0)
		return
	}
	a.api(http.MethodPost, resource, namespace, "", "application/json", text)
}

// change patches an object of the attacker's.
func (a *attacker) change(resource, name, patch string) {
	a.api(http.MethodPatch, resource, a.Namespace, name, "application/merge-patch+json", []byte(patch))
}
