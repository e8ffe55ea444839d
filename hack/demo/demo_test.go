// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakePlace notes whether it was stopped.
type fakePlace struct{ stopped bool }

func (p *fakePlace) start(context.Context) (installation, error) { return installation{}, nil }
func (p *fakePlace) explain(context.Context)                     {}
func (p *fakePlace) stop() error                                 { p.stopped = true; return nil }

func TestRunStopsWhatItStarted(t *testing.T) {
	t.Run("when the file for shells cannot be written", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		place := &fakePlace{}
		d := newDemo(file, func(string) {})
		d.place = place
		err := d.run(t.Context(), true)
		if err == nil || !strings.Contains(err.Error(), "write "+environmentFile) {
			t.Errorf("got %v", err)
		}
		if !place.stopped {
			t.Error("the place is not stopped")
		}
	})
}

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
			_, err := d.postEvent(ctx, nil)
			return err
		},
		"of the receiver, when it is told something": func(ctx context.Context) error { return d.tellReceiver(ctx, "_script", "200") },
		"of the receiver, when it is asked": func(ctx context.Context) error {
			_, err := d.readReceiverCounts(ctx)
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
