// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/dispatcher/transport"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// SenderOptions configure a Sender.
type SenderOptions struct {
	// Policy decides which endpoints may be reached. Required.
	Policy *netguard.Policy
	// RootCAs sign endpoints' certificates; nil for those of the system.
	RootCAs *x509.CertPool
	// UserAgent is sent with every attempt.
	UserAgent string
	// Snippets says that the beginning of answers may be shown to users.
	Snippets bool
	// ExplainAllowed says that users are told why an attempt to an address failed that
	// the policy allows, as they are of public ones. Who may create Webhooks can scan
	// the ports there, then.
	ExplainAllowed bool
	// Resolver looks up host names; nil for Go's own. One of package net looks a
	// name up as it is written before it asks the search list for anything.
	Resolver Resolver
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Logger gets one line per attempt, at debug level, and at info level where users
	// are told less than it says; nil for none.
	Logger *slog.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Resolver looks up the addresses of a name; *net.Resolver is one.
type Resolver = transport.Resolver

// Sender makes attempts. It is safe for concurrent use.
type Sender struct {
	policy         *netguard.Policy
	transport      *transport.Transport
	userAgent      string
	mayShow        func(netip.Addr) bool // whether answers from there may be shown
	explainAllowed bool                  // also what is wrong at addresses that the policy allows
	metrics        *senderMetrics
	logger         *slog.Logger
	now            func() time.Time
}

// NewSender makes a Sender. It fails if the metrics cannot be registered.
func NewSender(options SenderOptions) (*Sender, error) {
	recorded, err := newSenderMetrics(options.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Sender{
		policy:         options.Policy,
		transport:      transport.New(transport.Options{Policy: options.Policy, Resolver: options.Resolver, RootCAs: options.RootCAs}),
		userAgent:      options.UserAgent,
		mayShow:        func(from netip.Addr) bool { return options.Snippets && from.IsValid() && !options.Policy.Allowed(from) },
		explainAllowed: options.ExplainAllowed,
		metrics:        recorded,
		logger:         options.Logger,
		now:            options.Now,
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// Close closes connections that no attempt uses. The Sender stays usable.
func (s *Sender) Close() { s.transport.Close() }

// Send makes one attempt. Whatever goes wrong is in the Result.
func (s *Sender) Send(ctx context.Context, request Request) Result {
	s.metrics.attemptStarted()
	result := Result{StartedAt: s.now()}
	at, err := s.attempt(ctx, &request, &result)
	result.Duration = s.now().Sub(result.StartedAt)
	s.metrics.attemptEnded(result)
	disclosed := s.disclose(request.URL, at.Addresses, result, err)
	level := slog.LevelDebug
	if disclosed != result {
		level = slog.LevelInfo
	}
	s.log(level, &request, &result, err)
	return disclosed
}

// CheckURL says whether a URL can be an endpoint, as far as that can be said
// without a lookup: nil or a *URLError.
func (s *Sender) CheckURL(url string, forbidden []netip.Prefix) error {
	err := s.policy.CheckURL(url, forbidden)
	if refusal, ok := errors.AsType[*netguard.Refusal](err); ok {
		f := refusalFailure(refusal)
		return &URLError{Reason: f.reason, Message: f.message}
	}
	return err
}

// attempt fills in the result with all that is known. The error is the cause of a
// failure, for logs.
func (s *Sender) attempt(ctx context.Context, request *Request, result *Result) (transport.Snapshot, error) {
	to, err := s.policy.ParseURL(request.URL, request.Forbidden)
	if refusal, ok := errors.AsType[*netguard.Refusal](err); ok {
		result.fail(refusalFailure(refusal))
		return transport.Snapshot{}, err
	}
	if err := validateRequest(request); err != nil {
		result.fail(requestFailure(err))
		return transport.Snapshot{}, err
	}
	signed, err := request.Keys.Sign(request.EventID, result.StartedAt, request.Payload)
	if err != nil {
		result.fail(requestFailure(err))
		return transport.Snapshot{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, request.Timeout)
	defer cancel()
	answer, at, err := s.transport.Post(ctx, newPost(request, to, signed, s.userAgent))
	result.Timings = Timings(at.Timings)
	if err != nil {
		result.fail(classifyFailure(failureCause(ctx, err), at))
		result.CertificateNotAfter = failedCertificateExpiry(err)
		return at, err
	}
	shown := s.mayShow(at.Remote)
	s.recordAnswer(&answer, shown, result)
	if len(answer.Excerpt) > 0 && answer.ContentEncoding == "" && shown {
		result.Snippet = snippet(answer.Excerpt, newRedactor(request.Keys, signed))
	}
	return at, nil
}

// recordAnswer notes what an answer says. Nothing of its body matters.
func (s *Sender) recordAnswer(answer *transport.Answer, shown bool, result *Result) {
	result.StatusCode = answer.StatusCode
	result.CertificateNotAfter = answer.CertificateNotAfter
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		if at, ok := retry.ParseRetryAfter(answer.RetryAfter, s.now()); ok {
			result.RetryAfter = at
		}
	}
	location := ""
	if shown {
		location = answer.Location
	}
	result.fail(statusFailure(answer.StatusCode, result.RetryAfter, location))
}

func (s *Sender) log(level slog.Level, request *Request, result *Result, cause error) {
	if !s.logger.Enabled(context.Background(), level) {
		return
	}
	s.logger.Log(context.Background(), level, "attempt made",
		"delivery", request.DeliveryID, "attempt", request.Attempt, "statusCode", result.StatusCode,
		"reason", string(result.Reason), "duration", result.Duration, "cause", cause)
}
