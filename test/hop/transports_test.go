// SPDX-License-Identifier: Apache-2.0

package hop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/rpc"
	"net/url"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"bbmcp.quietstack.com/webhooks/dispatcher/multiplex"
)

const callTimeout = 15 * time.Second

var errTimeout = errors.New("timed out")

// transport carries a request of some bytes to a handler and an answer back.
type transport struct {
	name  string
	serve func(listener net.Listener, handle func([]byte) []byte) error
	dial  func(path string) (call func(context.Context, []byte) ([]byte, error), err error)
}

func transports() []transport {
	return []transport{
		{"http", serveHTTP, dialHTTP},
		{"net-rpc", serveRPC, dialRPC},
		{"ttrpc", serveTTRPC, dialTTRPC},
		{"grpc", serveGRPC, dialGRPC},
		{"multiplex", serveMultiplex, dialMultiplex},
	}
}

// HTTP/1.1, a connection for each call in flight.

func serveHTTP(listener net.Listener, handle func([]byte) []byte) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/attempt", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Header()["Date"] = nil
		_, _ = w.Write(handle(body))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	return server.Serve(listener)
}

func dialHTTP(path string) (func(context.Context, []byte) ([]byte, error), error) {
	client := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 1024,
	}
	to := &url.URL{Scheme: "http", Host: "dispatcher", Path: "/v1/attempt"}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		response, err := client.RoundTrip((&http.Request{
			Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"User-Agent": nil}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		}).WithContext(ctx))
		if err != nil {
			return nil, err
		}
		defer response.Body.Close() // read to its end
		return io.ReadAll(response.Body)
	}, nil
}

// net/rpc with its own codec, package gob.

// Hop is what net/rpc calls.
type Hop struct{ handle func([]byte) []byte }

// Attempt answers one call.
func (h *Hop) Attempt(body []byte, answer *[]byte) error {
	*answer = h.handle(body)
	return nil
}

func serveRPC(listener net.Listener, handle func([]byte) []byte) error {
	server := rpc.NewServer()
	if err := server.Register(&Hop{handle}); err != nil {
		return err
	}
	server.Accept(listener)
	return nil
}

func dialRPC(path string) (func(context.Context, []byte) ([]byte, error), error) {
	client, err := rpc.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		var answer []byte
		timer := time.NewTimer(callTimeout)
		defer timer.Stop()
		select {
		case call := <-client.Go("Hop.Attempt", body, &answer, make(chan *rpc.Call, 1)).Done:
			return answer, call.Error
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, errTimeout
		}
	}, nil
}

// ttrpc and gRPC carry the bytes in a protobuf message made for that.

func serveTTRPC(listener net.Listener, handle func([]byte) []byte) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.Register("hop", map[string]ttrpc.Method{"Attempt": func(_ context.Context, decode func(any) error) (any, error) {
		var body wrapperspb.BytesValue
		if err := decode(&body); err != nil {
			return nil, err
		}
		return wrapperspb.Bytes(handle(body.Value)), nil
	}})
	return server.Serve(context.Background(), listener)
}

func dialTTRPC(path string) (func(context.Context, []byte) ([]byte, error), error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	client := ttrpc.NewClient(conn)
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		var answer wrapperspb.BytesValue
		err := client.Call(ctx, "hop", "Attempt", wrapperspb.Bytes(body), &answer)
		return answer.Value, err
	}, nil
}

func serveGRPC(listener net.Listener, handle func([]byte) []byte) error {
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "hop", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Attempt",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var body wrapperspb.BytesValue
			if err := decode(&body); err != nil {
				return nil, err
			}
			return wrapperspb.Bytes(handle(body.Value)), nil
		},
	}}}, struct{}{})
	return server.Serve(listener)
}

func dialGRPC(path string) (func(context.Context, []byte) ([]byte, error), error) {
	client, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		var answer wrapperspb.BytesValue
		err := client.Invoke(ctx, "/hop/Attempt", wrapperspb.Bytes(body), &answer)
		return answer.Value, err
	}, nil
}

// The frames of package multiplex.

func serveMultiplex(listener net.Listener, handle func([]byte) []byte) error {
	server := &multiplex.Server{
		Handler:    func(_ byte, body, answer []byte) ([]byte, error) { return append(answer, handle(body)...), nil },
		MaxRequest: 1 << 20, MaxCalls: 1 << 20, Logger: slog.New(slog.DiscardHandler),
	}
	return server.Serve(context.Background(), listener, 0)
}

func dialMultiplex(path string) (func(context.Context, []byte) ([]byte, error), error) {
	client := multiplex.NewClient(func() (net.Conn, error) { return net.Dial("unix", path) }, 1<<20)
	return func(ctx context.Context, body []byte) ([]byte, error) {
		return client.Call(ctx, callTimeout, 1, nil, body)
	}, nil
}
