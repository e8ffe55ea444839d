// SPDX-License-Identifier: Apache-2.0

package forwarder

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxBody        = 1 << 20
	attemptTimeout = 10 * time.Second
)

// Forwarder passes POSTs on to its targets.
type Forwarder struct {
	targets []string
	key     []byte
	client  *http.Client
	serial  atomic.Int64
}

// New makes a Forwarder that signs with key.
func New(key []byte, targets ...string) *Forwarder {
	return &Forwarder{targets: targets, key: key, client: &http.Client{
		Transport: &http.Transport{
			MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       attemptTimeout,
	}}
}

// Run serves at an address until ctx ends.
func (f *Forwarder) Run(ctx context.Context, address string) error {
	server := &http.Server{Addr: address, Handler: f, ReadHeaderTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	defer func() { _ = server.Close() }() // nobody waits for an answer any more
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// ServeHTTP answers 202 once every target has answered with 2xx, else 502; a
// GET is a probe.
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := "evt_" + strconv.FormatInt(f.serial.Add(1), 10)
	if err := f.forward(r.Context(), id, body); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"event_id":"`+id+`"}`)
}

func (f *Forwarder) forward(ctx context.Context, id string, body []byte) error {
	if len(f.targets) == 1 {
		return f.post(ctx, f.targets[0], id, body)
	}
	errs := make([]error, len(f.targets))
	var posts sync.WaitGroup
	for i, target := range f.targets {
		posts.Go(func() { errs[i] = f.post(ctx, target, id, body) })
	}
	posts.Wait()
	return errors.Join(errs...)
}

func (f *Forwarder) post(ctx context.Context, target, id string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-BBMCP-Signature", hex.EncodeToString(f.sign("", body)))
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", stamp)
	request.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(f.sign(id+"."+stamp+".", body)))
	response, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s answered %s", target, response.Status)
	}
	return nil
}

func (f *Forwarder) sign(prefix string, body []byte) []byte {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(prefix))
	mac.Write(body)
	return mac.Sum(nil)
}
