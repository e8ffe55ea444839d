// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

func TestRequestsEndWhenNothingAnswers(t *testing.T) {
	released := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(released) })
	d := newDemo("", func(string) {})
	if d.http.Timeout <= 0 {
		t.Fatal("a demo waits for ever")
	}
	d.http.Timeout = 50 * time.Millisecond
	d.gateway, d.receiver = silent.URL, silent.URL

	for name, ask := range map[string]func(context.Context) error{
		"of the gateway": func(ctx context.Context) error {
			_, err := d.call(ctx, http.MethodPost, "/v1/events", nil)
			return err
		},
		"of the receiver, when it is told something": func(ctx context.Context) error { return d.tellReceiver(ctx, "_script", "200") },
		"of the receiver, when it is asked": func(ctx context.Context) error {
			_, err := d.received(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := ask(ctx); !os.IsTimeout(errors.Unwrap(err)) && !os.IsTimeout(err) || ctx.Err() != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}
