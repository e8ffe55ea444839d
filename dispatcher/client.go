package dispatcher

import (
	"context"
	"errors"
	"net/netip"
)

var (
	// ErrLost says that the request may have reached the dispatcher and that no
	// result came back: the endpoint may or may not have got the delivery.
	ErrLost = errors.New("dispatcher lost while it held the attempt")
	// ErrUnavailable says that nothing was handed over: no attempt was made.
	ErrUnavailable = errors.New("dispatcher unavailable")
)

// URLError says why a URL cannot be the endpoint of a webhook.
type URLError struct {
	// Reason is ReasonAddressForbidden, ReasonSchemeForbidden or ReasonURLInvalid.
	Reason Reason
	// Message names what is wrong and the way out; it does not repeat the URL.
	Message string
}

// Error implements error.
func (e *URLError) Error() string { return e.Message }

// Client hands attempts to the dispatcher behind one unix socket. It is safe
// for concurrent use.
type Client struct {
	socket string
}

// NewClient returns a client of the dispatcher that listens on the unix socket
// at this path. It does not connect yet.
func NewClient(socket string) *Client { return &Client{socket: socket} }

// Send makes one attempt and waits for its result. An attempt that the endpoint
// did not take is a Result, not an error. An error wraps ErrUnavailable if no
// attempt was made, else ErrLost.
func (c *Client) Send(ctx context.Context, request Request) (Result, error) {
	return Result{}, ErrUnavailable
}

// CheckURL asks whether the dispatcher would use this URL as an endpoint, as
// far as that can be said without a name lookup. It returns nil, an *URLError,
// or an error that wraps ErrUnavailable.
func (c *Client) CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error {
	return ErrUnavailable
}

// Ready returns nil if the dispatcher takes attempts, else an error that wraps
// ErrUnavailable.
func (c *Client) Ready(ctx context.Context) error { return ErrUnavailable }
