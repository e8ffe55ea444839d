// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/stack"
)

// inventTokens makes tokens that nobody has signed: of no shape, of the cluster's issuer and
// key with another signature, or of another issuer.
func inventTokens(good string) []func(n int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	header, rest, _ := strings.Cut(good, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	return []func(n int) string{
		func(n int) string { return fmt.Sprintf("a%d.b.c", n) },
		func(n int) string {
			return header + "." + claims + "." + signature[:len(signature)-8] + part(fmt.Sprintf("%06d", n))
		},
		func(n int) string {
			return part(`{"alg":"ES256","kid":"theirs"}`) + "." + part(fmt.Sprintf(`{"iss":"https://login.example.com","sub":"%d"}`, n)) + "." + signature
		},
	}
}

// requestCatalogue asks for the catalogue, which any valid token may read, and returns the status.
func requestCatalogue(ctx context.Context, through *http.Client, base, token string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/event-types", nil)
	if err != nil {
		return 0
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := through.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// floodTokens sends invented tokens over 16 connections until stop is called, and says then
// how many they were.
func floodTokens(ctx context.Context, base string, token func(n int) string) (stop func() int) {
	ctx, cancel := context.WithCancel(ctx)
	var sent atomic.Int64
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			through := &http.Client{Transport: &http.Transport{}}
			for ctx.Err() == nil {
				requestCatalogue(ctx, through, base, token(int(sent.Add(1))))
			}
		})
	}
	return func() int {
		cancel()
		senders.Wait()
		return int(sent.Load())
	}
}

var _ = Describe("invented tokens over 16 connections", func() {
	// valid makes so many tokens that no gateway has seen.
	valid := func(ctx context.Context, n int) (tokens []string) {
		GinkgoHelper()
		namespace := newNamespace(ctx)
		for range n {
			tokens = append(tokens, newAccount(ctx, namespace, "valid"))
		}
		return tokens
	}

	It("do not keep new valid tokens from being accepted", func(ctx SpecContext) {
		const n = 100
		front, err := cluster.StartGateway(ctx, gatewayOptions())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		for kind, token := range inventTokens(newAccount(ctx, newNamespace(ctx), "copied")) {
			tokens := valid(ctx, n)
			before := countReviews(ctx, front)
			stop := floodTokens(ctx, front.URL, token)
			served := 0
			for _, token := range tokens {
				if requestCatalogue(ctx, http.DefaultClient, front.URL, token) == http.StatusOK {
					served++
				}
			}
			sent := stop()
			reviewed := countReviews(ctx, front) - before
			AddReportEntry(fmt.Sprintf("kind %d: %d of %d valid tokens were served beside %d invented ones, which cost %.0f reviews", kind, served, n, sent, reviewed-n), ReportEntryVisibilityAlways)
			Expect(served).To(Equal(n))
			Expect(sent).To(BeNumerically(">", 200), "there is something to withstand")
			if kind < 2 {
				Expect(reviewed).To(BeEquivalentTo(n), "what cannot be a token of this cluster costs none")
			}
		}
		samples, err := stack.Scrape(ctx, front.MetricsURL)
		Expect(err).NotTo(HaveOccurred())
		Expect(samples.Sum("bbmcp_token_keys")).To(BeNumerically(">", 0), "the gateway's ServiceAccount may read the keys")
	}, SpecTimeout(2*time.Minute))

	It("of another issuer are limited by client address, behind a proxy too", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions("--trusted-proxies=127.0.0.0/8"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		token := inventTokens(newAccount(ctx, newNamespace(ctx), "copied"))[2]
		from := func(address string, n int) int {
			GinkgoHelper()
			return apiClient{base: front.URL, token: token(n)}.withHeader("X-Forwarded-For", "203.0.113.9, "+address).call(ctx, http.MethodGet, "/v1/event-types", nil).status
		}
		limited := 0
		for n := range 200 {
			if from("198.51.100.1", n) == http.StatusTooManyRequests {
				limited++
			}
		}
		Expect(limited).To(BeNumerically(">", 50))
		Expect(from("198.51.100.2", 1000)).To(Equal(http.StatusUnauthorized), "another address has a way of its own")
	}, SpecTimeout(time.Minute))
})

// countReviews is how many tokens a gateway had the API server review.
func countReviews(ctx context.Context, front *stack.Gateway) float64 {
	GinkgoHelper()
	samples, err := stack.Scrape(ctx, front.MetricsURL)
	Expect(err).NotTo(HaveOccurred())
	return samples.Sum("bbmcp_tokens_total", "result", "reviewed")
}
