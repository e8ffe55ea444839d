// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readTimeout      = 10 * time.Second // of a frame; it comes from the same pod
	maxQuestionBytes = 64 << 10
)

// Server offers a Sender on a unix socket. It keeps nothing between requests.
type Server struct {
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
// connection, lets the attempts in flight end and hands over their results. If
// that takes longer than grace it cuts them off and returns an error.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	// Attempts do not end with the connection they came on: the endpoint should
	// see a whole request. They end with their timeout, or when the grace does.
	attempts, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	server := &http.Server{
		Handler:           s.handler(attempts),
		ReadHeaderTimeout: readTimeout,
		IdleTimeout:       serverIdleTimeout,
		MaxHeaderBytes:    4 << 10,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(bounded)
	cutOff()
	if err != nil {
		_ = server.Close()
		return errors.New("attempts were still in flight at the end of the grace period")
	}
	s.sender.Close()
	return nil
}

func (s *Server) handler(attempts context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathAttempt, func(w http.ResponseWriter, r *http.Request) { s.attempt(attempts, w, r) })
	mux.HandleFunc("POST "+pathCheckURL, s.checkURL)
	mux.HandleFunc("POST "+pathReady, func(w http.ResponseWriter, _ *http.Request) { answer(w, struct{}{}) })
	return mux
}

func (s *Server) attempt(attempts context.Context, w http.ResponseWriter, r *http.Request) {
	request, err := readFrame(r.Body, r.ContentLength)
	if err != nil {
		s.logger.Warn("request refused", "cause", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	result := s.sender.Send(attempts, request)
	if attempts.Err() != nil {
		// Cut off: what came of it is not known, and no answer says just that.
		panic(http.ErrAbortHandler)
	}
	answer(w, result)
}

func (s *Server) checkURL(w http.ResponseWriter, r *http.Request) {
	var question urlQuestion
	if err := json.NewDecoder(io.LimitReader(r.Body, maxQuestionBytes)).Decode(&question); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var said urlAnswer
	if refused, ok := errors.AsType[*URLError](s.sender.CheckURL(question.URL, question.Forbidden)); ok {
		said = urlAnswer{Reason: refused.Reason, Message: refused.Message}
	}
	answer(w, said)
}

func answer(w http.ResponseWriter, value any) {
	encoded, err := json.Marshal(value)
	if err != nil { // values of this package always encode
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Date"] = nil
	_, _ = w.Write(encoded) // a client that is gone has lost the result either way
}
