// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/multiplex"
)

var (
	// ErrLost says that the request may have reached the dispatcher and that no
	// result came back: the endpoint may or may not have got the delivery.
	ErrLost = errors.New("dispatcher lost while it held the attempt")
	// ErrUnavailable says that nothing was handed over: no attempt was made.
	ErrUnavailable = errors.New("dispatcher unavailable")
)

const (
	// answerMargin is what a result may take beyond the attempt's own timeout.
	answerMargin = 5 * time.Second
	// callTimeout bounds calls that send nothing to the network.
	callTimeout = 5 * time.Second
	// metadataRoom is enough for what goes with a payload, as a rule.
	metadataRoom = 768
)

// Client hands attempts to the dispatcher behind one unix socket. It is safe
// for concurrent use.
type Client struct{ calls *multiplex.CallClient }

// NewClient returns a client of the dispatcher that listens on the unix socket
// at this path. It does not connect yet.
func NewClient(socket string) *Client {
	dial := func() (net.Conn, error) { return net.DialTimeout("unix", socket, callTimeout) }
	return &Client{calls: multiplex.NewCallClient(dial, maxResultBytes)}
}

// Close closes the connection; attempts in flight are lost. The client stays
// usable.
func (c *Client) Close() { c.calls.Close() }

// Send makes one attempt and waits for its result, at most 5 s longer than the
// attempt's timeout, and 3 s for the dispatcher to have room. An attempt that the endpoint did not take is a Result, not
// an error. An error wraps ErrUnavailable if no attempt was made, else ErrLost.
// When ctx ends, Send returns, but an attempt handed over is still made.
//
// A request that the dispatcher would never take, as one that is too large, is
// a Result too: as an error it would be tried for ever.
func (c *Client) Send(ctx context.Context, request Request) (Result, error) {
	var scratch [metadataRoom]byte
	metadata, err := prepareClientCall(scratch[:0], &request)
	if err != nil {
		return notSentResult(err), nil
	}
	return clientResult(c.calls.Call(ctx, request.Timeout+answerMargin, methodAttempt, metadata, request.Payload))
}

// Start makes one attempt as Send does and does not wait: done gets what Send
// would return, once, mostly from a goroutine that all attempts share, and must
// not wait for anything. It may be called before Start returns. The payload must
// not change until then.
func (c *Client) Start(request Request, done func(Result, error)) {
	var scratch [metadataRoom]byte
	metadata, err := prepareClientCall(scratch[:0], &request)
	if err != nil {
		done(notSentResult(err), nil)
		return
	}
	c.calls.Start(request.Timeout+answerMargin, methodAttempt, metadata, request.Payload, func(encoded []byte, err error) {
		done(clientResult(encoded, err))
	})
}

// prepareClientCall refuses what the dispatcher would, and encodes the rest into room.
func prepareClientCall(room []byte, request *Request) ([]byte, error) {
	if request.Trace.Wanted && request.TraceParent == "" {
		request.TraceParent = request.Trace.Parent
	}
	if err := validateRequest(request); err != nil {
		return nil, err
	}
	return encodeMetadata(room, request)
}

// clientResult makes one of what came back.
func clientResult(encoded []byte, err error) (Result, error) {
	switch {
	case err == nil:
	case errors.Is(err, multiplex.ErrMalformed):
		return notSentResult(err), nil
	case errors.Is(err, multiplex.ErrNotTaken):
		return Result{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return Result{}, fmt.Errorf("%w: %w", ErrLost, err)
	}
	got, err := decodeResult(encoded)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return got, nil
}

// CheckURL asks whether the dispatcher would use this URL as an endpoint, as
// far as that can be said without a name lookup. It returns nil, a *URLError,
// or an error that wraps ErrUnavailable.
func (c *Client) CheckURL(ctx context.Context, url string, forbidden []netip.Prefix) error {
	question, err := json.Marshal(urlQuestion{URL: url, Forbidden: forbidden})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	encoded, err := c.calls.Call(ctx, callTimeout, methodCheckURL, question, nil)
	var answer urlAnswer
	if err == nil {
		err = json.Unmarshal(encoded, &answer)
	}
	if err != nil {
		return clientUnavailable(err)
	}
	if answer.Reason != ReasonNone {
		return &URLError{Reason: answer.Reason, Message: answer.Message}
	}
	return nil
}

// Ready returns nil if the dispatcher takes attempts, else an error that wraps
// ErrUnavailable.
func (c *Client) Ready(ctx context.Context) error {
	if _, err := c.calls.Call(ctx, callTimeout, methodReady, nil, nil); err != nil {
		return clientUnavailable(err)
	}
	return nil
}

// clientUnavailable is for calls that make no attempt: there is nothing to lose.
func clientUnavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
