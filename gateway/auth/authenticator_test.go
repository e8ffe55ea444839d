// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// fakeTokens answers every token with one identity or error.
type fakeTokens struct {
	identity *authn.Identity
	err      error
}

func (fakeTokens) ReadKeys(context.Context) {}

func (f fakeTokens) Authenticate(context.Context, string, string) (*authn.Identity, error) {
	return f.identity, f.err
}

func TestAuthenticate(t *testing.T) {
	unreachable := errors.New("connection refused")
	for name, tt := range map[string]struct{ err, want error }{
		"an invalid token":       {&authn.InvalidError{Detail: "the token has expired"}, &Unauthenticated{"the token has expired"}},
		"too many new tokens":    {&authn.LimitError{Wait: time.Second}, &LimitExceeded{"too many new tokens of this namespace are being used; try again", time.Second}},
		"too many forged tokens": {&authn.LimitError{Unchecked: true}, &LimitExceeded{"too many tokens that this cluster has not signed are being tried; try again", 0}},
		"no API server":          {unreachable, &Unavailable{"checking the token", unreachable}},
	} {
		t.Run(name, func(t *testing.T) {
			caller, err := NewAuthenticator(fakeTokens{err: tt.err}).Authenticate(t.Context(), "a.b.c", "192.0.2.1")
			if caller != nil || !equalErrors(err, tt.want) {
				t.Errorf("got %v, %T %v, want %T %v", caller, err, err, tt.want, tt.want)
			}
		})
	}
	caller, err := NewAuthenticator(fakeTokens{identity: newCaller(false).Identity}).Authenticate(t.Context(), "a.b.c", "192.0.2.1")
	if err != nil || caller.Name() != "system:serviceaccount:shop:orders" || caller.token != "a.b.c" {
		t.Errorf("got %+v, %v", caller, err)
	}
}

func TestBearerToken(t *testing.T) {
	for value, want := range map[string]string{
		"Bearer a.b.c": "a.b.c", "bearer  a.b.c ": "a.b.c",
		"": "", "Bearer": "", "Bearer ": "", "Basic YTpi": "",
	} {
		header := http.Header{"Authorization": {value}}
		got, err := BearerToken(header)
		_, isUnauthenticated := errors.AsType[*Unauthenticated](err)
		if got != want || (want == "") != isUnauthenticated {
			t.Errorf("%q: %q, %v", value, got, err)
		}
	}
	if token, err := BearerToken(http.Header{"Authorization": {"Bearer a.b.c", "Bearer a.b.c"}}); err == nil {
		t.Errorf("two headers: %q", token)
	}
}

func TestTransportSendsTheCallersTokenOnly(t *testing.T) {
	var sent []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		sent = append(sent, request.Header.Get("Authorization"))
	}))
	defer server.Close()
	do := func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer of-the-gateway")
		response, err := callerTransport{http.DefaultTransport}.RoundTrip(request)
		if err == nil {
			_ = response.Body.Close()
		}
		return err
	}
	if err := do(t.Context()); !errors.Is(err, ErrNoCaller) {
		t.Errorf("without a caller: %v", err)
	}
	if err := do(WithCaller(t.Context(), newCaller(true))); !errors.Is(err, ErrAudienceTooNarrow) {
		t.Errorf("a token for publishing: %v", err)
	}
	if err := do(WithCaller(t.Context(), newCaller(false))); err != nil || len(sent) != 1 || sent[0] != "Bearer the-token" {
		t.Errorf("sent %q, %v", sent, err)
	}
}
