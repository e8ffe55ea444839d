// SPDX-License-Identifier: Apache-2.0

package profiling

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestServeRefusesAllButLoopback(t *testing.T) {
	for _, address := range []string{":6060", "0.0.0.0:6060", "[::]:6060", "10.0.0.1:6060", "localhost:6060", "127.0.0.1", "127.0.0.1:x"} {
		if stop, err := Serve(t.Context(), address); err == nil {
			stop()
			t.Errorf("%s was taken", address)
		}
	}
}

func TestServeIsOffUnlessAsked(t *testing.T) {
	for _, address := range []string{"", "0"} {
		stop, err := Serve(t.Context(), address)
		if err != nil {
			t.Errorf("%q: %v", address, err)
			continue
		}
		stop()
	}
}

func TestServeOffersProfiles(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	stop, err := Serve(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return http.DefaultClient.Do(request)
	}
	response, err := get("/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || !strings.HasPrefix(string(text), "goroutine profile:") {
		t.Errorf("got %.100s, %v", text, err)
	}
	stop()
	if response, err := get("/debug/pprof/"); err == nil {
		_ = response.Body.Close()
		t.Error("it goes on after stop")
	}
}
