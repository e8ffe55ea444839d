// SPDX-License-Identifier: Apache-2.0

package receivers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/test/ports"
)

const (
	// secret is what every receiver is started with.
	secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAAAA" //nolint:gosec // made for this test
	path   = "/hooks/bbmcp"

	waitStarted   = 30 * time.Second
	waitProcessed = 30 * time.Second
	pollEvery     = 20 * time.Millisecond
)

// ExampleReceiver is an example receiver that runs.
type ExampleReceiver struct {
	// URL is where it accepts events.
	URL string

	process *childprocess.Process
	dir     string
}

// Start starts a receiver in its folder and returns once it listens.
func Start(ctx context.Context, folder string, command ...string) (*ExampleReceiver, error) {
	address, err := ports.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bbmcp-receiver-")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "WEBHOOK_SECRET="+secret, "HOST=127.0.0.1", "PORT="+port)
	process, err := launchExample(cmd, dir)
	if err != nil {
		return nil, err
	}
	r := &ExampleReceiver{URL: "http://" + address + path, process: process, dir: dir}
	ctx, cancel := context.WithTimeout(ctx, waitStarted)
	defer cancel()
	err = process.WaitFor(ctx, strings.Join(command, " "), func(ctx context.Context) error {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = connection.Close()
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, r.complaints())
		r.Stop()
		return nil, err
	}
	return r, nil
}

// launchExample keeps what a receiver prints apart from what its server logs.
func launchExample(cmd *exec.Cmd, dir string) (*childprocess.Process, error) {
	stdout, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return nil, err
	}
	defer stdout.Close() // the child has its own copy
	stderr, err := os.Create(filepath.Join(dir, "err"))
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return childprocess.Start(cmd.Path, "", cmd)
}

// complaints is the end of what the receiver wrote to standard error.
func (r *ExampleReceiver) complaints() string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "err"))
	return string(text[max(0, len(text)-4096):])
}

// Stop ends the receiver.
func (r *ExampleReceiver) Stop() {
	r.process.Stop(time.Second)
	_ = os.RemoveAll(r.dir)
}

// processed is how often each event was worked on, by id.
func (r *ExampleReceiver) processed() (map[string]int, error) {
	text, err := os.ReadFile(filepath.Join(r.dir, "out"))
	if err != nil {
		return nil, err
	}
	times := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "processed "); ok && strings.HasSuffix(line, "\n") {
			id, _, _ := strings.Cut(rest, " ")
			times[id]++
		}
	}
	return times, nil
}

// await waits until each of these events was worked on, and complains if any
// was more than once, or any other was.
func (r *ExampleReceiver) await(ctx context.Context, ids []string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		times, err := r.processed()
		if err != nil {
			return err
		}
		missing := 0
		for _, id := range ids {
			if times[id] == 0 {
				missing++
			}
		}
		if missing == 0 {
			return checkExampleProcessed(times, ids)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d events were not processed\n%s", missing, len(ids), r.complaints())
		case <-time.After(pollEvery):
		}
	}
}

func checkExampleProcessed(times map[string]int, ids []string) error {
	for _, id := range ids {
		if times[id] != 1 {
			return fmt.Errorf("event %s was processed %d times", id, times[id])
		}
		delete(times, id)
	}
	for id := range times {
		return fmt.Errorf("event %q was processed, which had been refused", id)
	}
	return nil
}
