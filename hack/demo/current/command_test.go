// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"os/exec"
	"testing"
	"time"
)

func TestCommandsEndWithTheirContext(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	ctx, cancel := context.WithCancel(t.Context())
	command := newCommand(ctx, "sh", "-c", "sleep 30 & echo up; wait")
	if command.WaitDelay != outputWithin {
		t.Errorf("the output may stay open for %s, want %s", command.WaitDelay, outputWithin)
	}
	command.WaitDelay = min(command.WaitDelay, 100*time.Millisecond)
	up := &signalWriter{written: make(chan struct{}, 1)}
	command.Stdout = up
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-up.written:
	case <-time.After(10 * time.Second):
		t.Error("the command says nothing")
	}
	cancel()
	began := time.Now()
	if err := command.Wait(); err == nil {
		t.Error("a command that was ended succeeded")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s to end, for the output of what the command has started", took)
	}
}

// signalWriter tells of the first write.
type signalWriter struct{ written chan struct{} }

func (w *signalWriter) Write(text []byte) (int, error) {
	select {
	case w.written <- struct{}{}:
	default:
	}
	return len(text), nil
}
