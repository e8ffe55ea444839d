// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/ports"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	got, err := parseFlags("dispatcher", []string{
		"--socket=/s", "--allow-cidr=10.0.0.0/8,fd00::/8", "--allow-cidr", "127.0.0.1", "--deny-cidr=::1", "--allow-http", "--ca-bundle=/ca",
		"--explain-allowed", "--response-snippet=false", "--metrics-address=:8080", "--log-level=debug", "--shutdown-grace=1s",
		"--pprof-address=127.0.0.1:6060",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := &options{
		socket: "/s", allow: prefixesFlag{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("127.0.0.1/32")},
		deny: prefixesFlag{netip.MustParsePrefix("::1/128")}, allowHTTP: true, explainAllowed: true, caBundle: "/ca", metricsAddress: ":8080", pprofAddress: "127.0.0.1:6060",
		logLevel: slog.LevelDebug, shutdownGrace: time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, args := range [][]string{{"--allow-cidr=10.0.0.1/8"}, {"--deny-cidr=ten"}, {"--log-level=loud"}, {"stray"}, {"--nonsense"}} {
		if _, err := parseFlags("dispatcher", args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	var help bytes.Buffer
	if _, err := parseFlags("dispatcher", []string{"--help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-deny-cidr range") {
		t.Errorf("help: %v\n%s", err, help.String())
	}
}

func TestSearchDomains(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	content := "# of a Pod\ndomain old.example\nnameserver 10.96.0.10\nsearch shop.svc.cluster.local\tsvc.cluster.local corp.example.net\noptions ndots:5\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := resolverSearchDomains(file), []string{"shop.svc.cluster.local", "svc.cluster.local", "corp.example.net"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := resolverSearchDomains(file + "x"); got != nil {
		t.Errorf("no file: %q", got)
	}
}

func TestRootCAs(t *testing.T) {
	t.Parallel()
	authority, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	if err := errors.Join(os.WriteFile(good, authority.PEM(), 0o600), os.WriteFile(bad, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if pool, err := caBundleRoots(""); pool != nil || err != nil {
		t.Errorf("none: %v, %v", pool, err)
	}
	if pool, err := caBundleRoots(good); pool == nil || err != nil {
		t.Errorf("good: %v, %v", pool, err)
	}
	for _, file := range []string{bad, good + "x"} {
		if _, err := caBundleRoots(file); err == nil {
			t.Errorf("%s is taken", file)
		}
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	listener, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenDispatcherSocket(stale); err == nil {
		t.Error("a socket in use is taken over")
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = listener.Close()
	taken, err := listenDispatcherSocket(stale)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	defer taken.Close() // the test is over
	if info, err := os.Stat(stale); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenDispatcherSocket(file); err == nil {
		t.Error("a file is removed")
	}
}

// The whole process: it serves, counts, never logs the secret, and on SIGTERM
// lets the attempt in flight end before it exits 0.
func TestProcess(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	dir, err := os.MkdirTemp("", "bbmcp") // short: a socket's path has at most 104 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) // a temporary directory
	binary, socket := build(t, dir), filepath.Join(dir, "s")
	r, err := receiver.Start(receiver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Script("/slow", receiver.Step{Delay: 300 * time.Millisecond})
	metrics, err := ports.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), binary, "--socket", socket, "--allow-cidr=127.0.0.0/8", "--allow-http", "--log-level=debug", "--metrics-address", metrics)
	process.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=127.0.0.2")
	var logs bytes.Buffer
	process.Stderr = &logs
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	client := dispatcher.NewClient(socket)
	defer client.Close()
	for deadline := time.Now().Add(10 * time.Second); client.Ready(t.Context()) != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("not ready\n%s", logs.String())
		}
	}
	request := dispatcher.Request{
		DeliveryID: "dlv_1", EventID: "evt_1", EventType: "a.b", Attempt: 1, URL: r.URL("/"), Payload: []byte("{}"),
		Keys: signature.Keys{Primary: signature.NewSecret(secret)}, Timeout: 5 * time.Second,
	}
	if result, err := client.Send(t.Context(), request); err != nil || !result.Succeeded() {
		t.Errorf("got %+v, %v", result, err)
	}
	if err := client.CheckURL(t.Context(), "https://127.0.0.2/", nil); err == nil || !strings.Contains(err.Error(), "Loopback") {
		t.Errorf("the API server's Service: %v", err)
	}
	if agent := r.Received("/")[0].Header.Get("User-Agent"); agent != "BBMCP-Webhooks/1.2.3" {
		t.Errorf("User-Agent %q", agent)
	}
	if got := get(t, "http://"+metrics+"/metrics"); !strings.Contains(got, `bbmcp_dispatcher_attempts_total{code_class="2xx",reason="Succeeded"} 1`) {
		t.Errorf("metrics:\n%s", got)
	}
	if got := get(t, "http://"+metrics+"/v1/attempt"); !strings.Contains(got, "404") {
		t.Errorf("the attempt API answers over TCP: %s", got)
	}

	go func() {
		_ = r.Wait(t.Context(), "/slow", func(c receiver.Counts) bool { return c.Posts == 1 })
		_ = process.Process.Signal(syscall.SIGTERM)
	}()
	request.URL = r.URL("/slow")
	if result, err := client.Send(t.Context(), request); err != nil || !result.Succeeded() {
		t.Errorf("in flight at SIGTERM: %+v, %v", result, err)
	}
	if err := process.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket stays behind")
	}
	if strings.Contains(logs.String(), secret[6:20]) || !strings.Contains(logs.String(), `"stopped serving"`) {
		t.Errorf("logs:\n%s", logs.String())
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() // read to its end
	body, _ := io.ReadAll(response.Body)
	return response.Status + "\n" + string(body)
}
