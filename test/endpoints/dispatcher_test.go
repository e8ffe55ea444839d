// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// binaryVariable is the path of the dispatcher's binary.
const binaryVariable = "ENDPOINTS_DISPATCHER"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bbmcp")
	if err != nil {
		panic(err)
	}
	code := endpoints.RunWithDistance(m, func() error { return buildDispatcher(dir) })
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func buildDispatcher(dir string) error {
	binary := filepath.Join(dir, "dispatcher")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "../../cmd/dispatcher").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the dispatcher: %w\n%s", err, out)
	}
	return os.Setenv(binaryVariable, binary)
}

// startFar starts the way to far endpoints, once for all tests.
var startFar = sync.OnceValues(func() (*endpoints.Distance, error) {
	return endpoints.StartDistance(context.Background(), 40*time.Millisecond)
})

// farAway is the way to far endpoints. The test is skipped where there is none.
func farAway(t *testing.T) *endpoints.Distance {
	t.Helper()
	far, err := startFar()
	if err != nil {
		skipUnlessRequired(t, err)
	}
	return far
}

// ways are URLs of an endpoint, each at an address of its own 40 ms away: to the
// dispatcher each is a destination of its own.
func ways(t *testing.T, scheme, endpoint string, count int) []string {
	t.Helper()
	far := farAway(t)
	_, port, _ := net.SplitHostPort(endpoint) // an endpoint's address
	var urls []string
	for n := range count {
		urls = append(urls, scheme+"://"+net.JoinHostPort(far.Addr(n+1), port)+"/")
	}
	return urls
}

// startDispatcher starts a dispatcher as a process that may reach loopback and trusts
// these authorities, in PEM, beside the system's. It returns what makes an attempt.
func startDispatcher(t *testing.T, authorities ...[]byte) func(dispatcher.Request) dispatcher.Result {
	t.Helper()
	dir, err := os.MkdirTemp("", "bbmcp") // short: a socket's path has at most 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	arguments := []string{"--socket", socket, "--allow-cidr", "127.0.0.0/8," + endpoints.FarNetwork, "--allow-http", "--explain-allowed"}
	var bundle []byte
	for _, authority := range authorities {
		bundle = append(bundle, authority...)
	}
	if bundle != nil {
		file := filepath.Join(dir, "ca")
		if err := os.WriteFile(file, bundle, 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, "--ca-bundle", file)
	}
	var said strings.Builder
	process := exec.CommandContext(context.Background(), os.Getenv(binaryVariable), arguments...)
	process.Stderr = &said
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	client := dispatcher.NewClient(socket)
	t.Cleanup(func() {
		client.Close()
		_ = process.Process.Kill()
		_ = process.Wait()
		if t.Failed() {
			t.Logf("the dispatcher said: %s", said.String())
		}
	})
	for end := time.Now().Add(10 * time.Second); client.Ready(t.Context()) != nil; {
		if time.Now().After(end) {
			t.Fatal("the dispatcher is not ready")
		}
	}
	return func(request dispatcher.Request) dispatcher.Result {
		result, err := client.Send(t.Context(), request)
		if err != nil {
			t.Errorf("delivery %s: %v", request.DeliveryID, err)
		}
		return result
	}
}
