// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
