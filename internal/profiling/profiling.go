// SPDX-License-Identifier: Apache-2.0

package profiling

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"

	"bbmcp.quietstack.com/webhooks/internal/httpserver"
)

var errNotLoopback = errors.New("not a loopback address and port, such as 127.0.0.1:6060: profiles are for nobody else")

// Serve offers profiles under /debug/pprof/ until stop is called; "" or "0"
// turns it off. The address must be a literal one of loopback.
func Serve(ctx context.Context, address string) (stop func(), err error) {
	if address == "" || address == "0" {
		return func() {}, nil
	}
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || !parsed.Addr().IsLoopback() {
		return nil, fmt.Errorf("%s: %w", address, errNotLoopback)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for profiles: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := httpserver.New(httpserver.Options{Listener: "profiles", Handler: mux})
	go func() { _ = server.Serve(listener) }() // it can only be closed
	return server.Close, nil
}
