// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultTimeout   = 30 * time.Second
	defaultRepeats   = 4
	defaultMaxWait   = 30 * time.Second
	defaultUserAgent = "bbmcp-client-go"
)

// Options configure a Client. BaseURL and Token are needed, the rest has
// defaults.
type Options struct {
	// BaseURL is where the API is, without /v1: https://bbmcp.example.com. A
	// path before /v1 is kept.
	BaseURL string
	// Token returns the ServiceAccount token to present. It is asked before
	// every request, so a token that is rotated is noticed; see [TokenFile],
	// [StaticToken] and [TokenFromEnvironment].
	Token func(ctx context.Context) (string, error)
	// Namespace is asked for with every request; empty: the ServiceAccount's
	// own.
	Namespace string
	// HTTPClient makes the requests; nil: one of its own with a timeout of 30 s
	// a request. It is copied, and the copy follows no redirect.
	HTTPClient *http.Client
	// UserAgent is the header of that name.
	UserAgent string
	// Repeats is how often an idempotent call is repeated after an answer of
	// 429, 502, 503 or 504 or when the network failed; 0 is 4, negative is
	// never.
	Repeats int
	// MaxWait is the longest wait before a repetition; 0 is 30 s. When the
	// server asks for more in Retry-After the call fails instead.
	MaxWait time.Duration
}

// Client calls the API. Its methods may be used concurrently.
type Client struct {
	base      *url.URL
	token     func(ctx context.Context) (string, error)
	namespace string
	http      *http.Client
	userAgent string
	repeats   int
	maxWait   time.Duration
}

// New returns a Client. It makes no request.
func New(options Options) (*Client, error) {
	base, err := parseBase(options.BaseURL)
	if err != nil {
		return nil, err
	}
	if options.Token == nil {
		return nil, errors.New("bbmcp: Options.Token is missing")
	}
	c := &Client{
		base: base, token: options.Token, namespace: options.Namespace,
		http: &http.Client{Timeout: defaultTimeout}, userAgent: options.UserAgent,
		repeats: options.Repeats, maxWait: options.MaxWait,
	}
	if options.HTTPClient != nil {
		c.http = new(*options.HTTPClient)
	}
	// Package net/http keeps the token on the way to other ports and subdomains
	// of a host. The API never redirects, so nothing is lost by not following.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.userAgent == "" {
		c.userAgent = defaultUserAgent
	}
	switch {
	case c.repeats == 0:
		c.repeats = defaultRepeats
	case c.repeats < 0:
		c.repeats = 0
	}
	if c.maxWait <= 0 {
		c.maxWait = defaultMaxWait
	}
	return c, nil
}

// InNamespace returns a Client like this one for another namespace, which RBAC
// must allow.
func (c *Client) InNamespace(namespace string) *Client {
	other := new(*c)
	other.namespace = namespace
	return other
}

func parseBase(raw string) (*url.URL, error) {
	refuse := func(what string) (*url.URL, error) {
		return nil, fmt.Errorf("bbmcp: the base URL %s", what)
	}
	if raw == "" {
		return refuse("is missing")
	}
	base, err := url.Parse(raw)
	switch {
	case err != nil:
		return refuse("cannot be read") // the error may show a password in it
	case base.User != nil:
		return refuse("has user info: use a token instead")
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		return refuse(fmt.Sprintf("%q is not of the form https://host", raw))
	case base.RawQuery != "" || base.Fragment != "":
		return refuse(fmt.Sprintf("%q has a query or a fragment", raw))
	}
	if strings.HasSuffix(strings.TrimRight(base.Path, "/"), "/v1") {
		return refuse(fmt.Sprintf("%q ends with /v1: leave that out", raw))
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = ""
	return base, nil
}

// OpenAPI returns the API's description (OpenAPI 3.1). No token is sent.
func (c *Client) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	var document json.RawMessage
	_, err := c.doRequest(ctx, call{method: http.MethodGet, path: "/openapi.json", anonymous: true, repeatable: true}, &document)
	return document, err
}
