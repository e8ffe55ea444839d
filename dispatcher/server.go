// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/multiplex"
)

// maxCalls is far beyond what callers have under way; they bound themselves.
const maxCalls = 16 << 10

var (
	errCutOff = errors.New("attempts were still under way at the end of the grace period")
	errMethod = errors.New("no such method")
)

// Server offers a Sender on a unix socket. It keeps nothing between requests.
type Server struct {
	// PayloadBytes is how many bytes the payloads of attempts under way may have
	// together, those of up to 16 KiB not counted; 0 for no bound. It must be set
	// before Serve. Attempts beyond it wait with their client.
	PayloadBytes int64

	sender *Sender
	logger *slog.Logger
}

// NewServer makes a Server; logger may be nil.
func NewServer(sender *Sender, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Server{sender: sender, logger: logger}
}

// Serve takes attempts from the listener until ctx ends. Then it takes no new
// connection, lets the attempts under way end and hands over their results. If
// that takes longer than grace it cuts them off and returns an error.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	// Attempts do not end with the connection they came on: the endpoint should
	// see a whole request. They end with their timeout, or when the grace does.
	attempts, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	calls := &multiplex.CallServer{
		Handler: func(method byte, body, answer []byte) ([]byte, error) {
			answer, err := s.answerMethod(attempts, method, body, answer)
			if err != nil {
				s.logger.Warn("request refused", "cause", err)
			}
			return answer, err
		},
		MaxRequest: maxRequestBytes,
		MaxCalls:   maxCalls,
		MaxBytes:   s.PayloadBytes,
		OnFull:     s.sender.metrics.attemptDeferred,
		Logger:     s.logger,
	}
	// Attempts that are cut off have no result: it closes the connections first.
	err := calls.ServeCalls(ctx, listener, grace)
	if errors.Is(err, multiplex.ErrCutOff) {
		return errCutOff
	}
	if err != nil {
		return err
	}
	s.sender.Close()
	return nil
}

// answerMethod appends the answer to one call. Its errors never quote the request.
func (s *Server) answerMethod(attempts context.Context, method byte, body, answer []byte) ([]byte, error) {
	switch method {
	case methodAttempt:
		request, err := decodeRequest(body)
		if err != nil {
			return nil, err
		}
		result := s.sender.Send(attempts, request)
		return encodeResult(answer, &result), nil
	case methodCheckURL:
		encoded, err := s.checkURL(body)
		return append(answer, encoded...), err
	case methodReady:
		return answer, nil
	default:
		return nil, errMethod
	}
}

func (s *Server) checkURL(body []byte) ([]byte, error) {
	var question urlQuestion
	if err := json.Unmarshal(body, &question); err != nil {
		return nil, errEncoding
	}
	var said urlAnswer
	if refused, ok := errors.AsType[*URLError](s.sender.CheckURL(question.URL, question.Forbidden)); ok {
		said = urlAnswer{Reason: refused.Reason, Message: refused.Message}
	}
	return json.Marshal(said)
}
