// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// The largest payloads, on as many attempts at once as a gateway makes and half as
// many again, stay within the memory limit of the manifests, 256 MiB.
func TestManyLargePayloadsFitTheMemoryLimit(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("memory in use is read from /proc")
	}
	const attempts, mostMiB = 768, 216    // of 256; what is not collected yet moves by some 20
	dir, err := os.MkdirTemp("", "bbmcp") // short: a socket's path has at most 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) // a temporary directory
	binary, socket := build(t, dir), filepath.Join(dir, "s")
	authority, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Issue(time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "ca")
	if err := os.WriteFile(bundle, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]receiver.Options{"http": {Keep: -1}, "https": {Keep: -1, Certificate: certificate}} {
		t.Run(name, func(t *testing.T) {
			r, err := receiver.Start(options)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.Script("/", receiver.Step{Delay: 500 * time.Millisecond})
			process := exec.CommandContext(t.Context(), binary, "--socket", socket, "--allow-cidr=127.0.0.1", "--allow-http", "--ca-bundle", bundle)
			process.Env = append(os.Environ(), "GOMEMLIMIT=230MiB") // nine tenths of 256 MiB, as in the container
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = process.Process.Kill(); _ = process.Wait() }()
			client := dispatcher.NewClient(socket)
			defer client.Close()
			awaitReady(t, client)
			payload := make([]byte, dispatcher.MaxPayloadBytes)
			var all sync.WaitGroup
			for range attempts {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					result, err := client.Send(ctx, dispatcher.Request{
						DeliveryID: "dlv_1", EventID: "evt_1", EventType: "a.b", Attempt: 1, URL: r.URL("/"), Payload: payload,
						Keys: signature.Keys{Primary: signature.NewSecret("0123456789abcdef")}, Timeout: 30 * time.Second,
					})
					if err != nil || !result.Succeeded() {
						t.Errorf("%+v, %v", result, err)
					}
				})
			}
			all.Wait()
			memory, err := procstat.ReadMemory(process.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			got := memory.Peak >> 20
			t.Logf("%d attempts of 256 KiB at once: %d MiB at most", attempts, got)
			if got > mostMiB {
				t.Errorf("%d MiB, more than %d", got, mostMiB)
			}
		})
	}
}

// build builds the dispatcher and returns the path of the binary.
func build(t *testing.T, dir string) string {
	t.Helper()
	binary := filepath.Join(dir, "dispatcher")
	command := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X bbmcp.quietstack.com/webhooks/internal/version.stamp=1.2.3", "-o", binary, ".")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func awaitReady(t *testing.T, client *dispatcher.Client) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); client.Ready(t.Context()) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("not ready")
		}
	}
}
