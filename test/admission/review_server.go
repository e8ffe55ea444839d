// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// maxReviewBytes is more than the API server takes of an object, twice.
	maxReviewBytes = 8 << 20
	// reviewPath and markerPath are where the API server sends reviews; the second
	// are of [ReviewServer.Install] itself.
	reviewPath, markerPath = "/review", "/marker"
)

// Review is what the API server asks about.
type Review struct {
	Namespace, Name string
	// Resource is that of the path, "/status" of a subresource included.
	Resource  string
	Operation admissionv1.Operation
	// User is who wants to write.
	User   string
	DryRun bool
}

// Verdict is the answer to a review. The zero value allows at once.
type Verdict struct {
	// After is how long the answer takes.
	After time.Duration
	// Code is that of a denial, as the client of the API server sees it; 0: allowed.
	Code int32
	// Reason goes with Code. Most policies give none.
	Reason metav1.StatusReason
	// Message is the policy's own sentence.
	Message string
	// Broken is an HTTP status to answer with instead of a review; 0: none.
	Broken int
	// HangUp cuts the connection instead of answering.
	HangUp bool
}

// Deny is a verdict that refuses with a code and a sentence.
func Deny(code int32, message string) Verdict { return Verdict{Code: code, Message: message} }

// ReviewServer is the webhook. Its methods may be called concurrently.
type ReviewServer struct {
	server *httptest.Server

	decide  atomic.Pointer[func(Review) Verdict]
	markers atomic.Int64

	mu      sync.Mutex
	reviews []Review
}

// Start starts a server on loopback that allows everything. The caller closes it.
func Start() *ReviewServer {
	s := &ReviewServer{}
	s.Allow()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+reviewPath, s.review)
	mux.HandleFunc("POST "+markerPath, func(w http.ResponseWriter, r *http.Request) {
		s.markers.Add(1)
		respondVerdict(w, r, Verdict{})
	})
	s.server = httptest.NewUnstartedServer(mux)
	s.server.EnableHTTP2 = true
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.StartTLS()
	return s
}

// Close makes the server unreachable: whoever installed it meets connections that
// are refused.
func (s *ReviewServer) Close() { _ = s.server.Config.Close() }

// Decide makes f answer every review from now on; it is called concurrently.
func (s *ReviewServer) Decide(f func(Review) Verdict) { s.decide.Store(&f) }

// Answer is Decide with one verdict for all.
func (s *ReviewServer) Answer(verdict Verdict) { s.Decide(func(Review) Verdict { return verdict }) }

// Allow lets everything pass at once from now on.
func (s *ReviewServer) Allow() { s.Answer(Verdict{}) }

// Reviews are those that came, in order.
func (s *ReviewServer) Reviews() []Review {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reviews)
}

// Count is how many reviews came of a resource and an operation.
func (s *ReviewServer) Count(resource string, operation admissionv1.Operation) (n int) {
	for _, review := range s.Reviews() {
		if review.Resource == resource && review.Operation == operation {
			n++
		}
	}
	return n
}

func (s *ReviewServer) review(w http.ResponseWriter, r *http.Request) {
	asked, err := readReview(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review := Review{
		Namespace: asked.Namespace, Name: asked.Name, Resource: asked.Resource.Resource, Operation: asked.Operation,
		User: asked.UserInfo.Username, DryRun: asked.DryRun != nil && *asked.DryRun,
	}
	if asked.SubResource != "" {
		review.Resource += "/" + asked.SubResource
	}
	s.mu.Lock()
	s.reviews = append(s.reviews, review)
	s.mu.Unlock()
	verdict := (*s.decide.Load())(review)
	select {
	case <-time.After(verdict.After):
	case <-r.Context().Done():
		return
	}
	switch {
	case verdict.HangUp:
		panic(http.ErrAbortHandler)
	case verdict.Broken != 0:
		http.Error(w, verdict.Message, verdict.Broken)
	default:
		answerReview(w, asked, verdict)
	}
}

func readReview(r *http.Request) (*admissionv1.AdmissionRequest, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxReviewBytes))
	if err != nil {
		return nil, err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return nil, fmt.Errorf("read admission review: %w", err)
	}
	if review.Request == nil {
		return nil, errors.New("read admission review: no request")
	}
	return review.Request, nil
}

func respondVerdict(w http.ResponseWriter, r *http.Request, verdict Verdict) {
	asked, err := readReview(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answerReview(w, asked, verdict)
}

func answerReview(w http.ResponseWriter, asked *admissionv1.AdmissionRequest, verdict Verdict) {
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Response: &admissionv1.AdmissionResponse{UID: asked.UID, Allowed: verdict.Code == 0},
	}
	if verdict.Code != 0 {
		review.Response.Result = &metav1.Status{Code: verdict.Code, Reason: verdict.Reason, Message: verdict.Message}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) // the API server may have given up
}

// Name is that of the webhook, as the API server tells it to who was denied.
func (s *ReviewServer) Name() string {
	return "policy-" + strings.NewReplacer(":", "-", ".", "-").Replace(s.server.Listener.Addr().String()) + ".example.com"
}
