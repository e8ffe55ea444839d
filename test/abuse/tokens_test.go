// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// tokenAttacks make the gateway ask the API server.
func tokenAttacks() []attack {
	return []attack{
		{name: "invented tokens", arrange: (*scene).newcomers, act: inventTokens, meanwhile: (*scene).newcomersPublish, after: (*scene).fewTokenReviews, cores: 1},
		{name: "questions without end", arrange: (*scene).newcomers, act: askQuestions, meanwhile: (*scene).newcomersPublish, after: (*scene).fewAccessReviews, cores: 1},
	}
}

const newcomers = 100

// newcomers makes tokens that the gateway has not seen, of the neighbour's own
// ServiceAccount; and one without any right for the attacker.
func (s *scene) newcomers() {
	s.powerless()
	tokens := make([]string, newcomers)
	s.try(inParallel(8, newcomers, func(i int) (err error) {
		tokens[i], err = s.stack.Token(s.ctx, neighbourSpace, "publisher", nil)
		return err
	}))
	s.given["valid"] = tokens[0] // for its form only
	s.fresh = tokens
}

// newcomersPublish lets each of them publish once, fifty a second.
func (s *scene) newcomersPublish() {
	var all sync.WaitGroup
	refused := make([]string, len(s.fresh))
	events := make([]neighbourEvent, len(s.fresh))
	tick := time.NewTicker(time.Second / neighbourRate)
	defer tick.Stop()
	for i, token := range s.fresh {
		<-tick.C
		all.Go(func() {
			events[i] = neighbourEvent{id: fmt.Sprintf("evt_newcomer_%d_%d", i, time.Now().UnixNano())}
			s.neighbour.send(s.ctx, &events[i], token)
			refused[i] = events[i].refusal
		})
	}
	all.Wait()
	count, example := 0, ""
	for _, why := range refused {
		if why != "" {
			count, example = count+1, why
		}
	}
	s.figure("%d of %d tokens that the gateway had not seen were refused", count, len(refused))
	if count > 0 {
		s.Errorf("%d of %d valid tokens that the gateway had not seen were refused: %s", count, len(refused), example)
	}
	s.before.reviews = s.asked("resource", "tokenreviews") + s.asked("resource", "subjectaccessreviews")
	s.before.at = time.Now()
}

// inventTokens tries tokens that are none, on sixteen connections.
func inventTokens(a *attacker) {
	const width = 16
	parts := strings.Split(a.Given["valid"], ".")
	invented := []func(i int) string{
		func(i int) string { return fmt.Sprintf("a%d.b.c", i) },
		func(i int) string { return fmt.Sprintf("%s.%s.forged%d", parts[0], parts[1], i) },
		func(i int) string { return fmt.Sprintf("eyJhbGciOiJub25lIn0.%s.x%d", parts[1], i) },
		func(i int) string {
			return fmt.Sprintf("%s.%s.%s%d", parts[0], parts[1], strings.Repeat("s", 12<<10), i)
		},
		func(i int) string { // an unknown kid
			return fmt.Sprintf("%s.%s.x", encode(fmt.Sprintf(`{"alg":"RS256","kid":"unknown-%d"}`, i)), parts[1])
		},
		func(i int) string { // another issuer
			return fmt.Sprintf("%s.%s.x", parts[0], encode(fmt.Sprintf(`{"iss":"https://elsewhere.example/%d","sub":"system:serviceaccount:a:b"}`, i)))
		},
		func(i int) string { return fmt.Sprintf("%s.%s.%s", encode(fmt.Sprint(i)), encode("{}"), "") },
		func(i int) string { return fmt.Sprintf("opaque%d", i) },
	}
	a.repeat(width, func(i int) {
		token := invented[i%len(invented)](i)
		if i%5 == 0 {
			form := url.Values{"token": {token}}.Encode()
			a.do(call{path: "/dashboard/sign-in", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: []byte(form)})
			return
		}
		header := map[string]string{}
		if i%3 == 0 {
			header["X-Forwarded-For"] = fmt.Sprintf("198.51.100.%d", i%256)
		}
		a.do(call{method: "GET", path: "/v1/webhooks", token: token, header: header})
	})
}

func (s *scene) fewTokenReviews(found attackReport) {
	const most = 150
	s.onlyRefused(found)
	s.reviewsBelow(most)
}

// reviewsBelow bounds what the API server was asked each second since newcomers
// had published.
func (s *scene) reviewsBelow(most float64) {
	s.Helper()
	now := s.asked("resource", "tokenreviews") + s.asked("resource", "subjectaccessreviews")
	each := (now - s.before.reviews) / time.Since(s.before.at).Seconds()
	s.figure("%.0f reviews a second", each)
	if each > most {
		s.Errorf("the API server was asked for %.0f reviews a second, at most %.0f may be", each, most)
	}
}

// askQuestions asks what the gateway has to ask the API server for, never the same.
func askQuestions(a *attacker) {
	const width = 16
	paths := []func(i int) call{
		func(i int) call { return call{method: "GET", path: fmt.Sprintf("/v1/webhooks?namespace=space-%d", i)} },
		func(i int) call { return call{method: "GET", path: fmt.Sprintf("/v1/webhooks/wh_%016x", i)} },
		func(i int) call {
			return call{method: "GET", path: fmt.Sprintf("/v1/webhooks/wh_%016x/deliveries?namespace=space-%d", i, i)}
		},
		func(i int) call {
			return call{method: "GET", path: fmt.Sprintf("/v1/deliveries/dlv_%d?namespace=space-%d", i, i)}
		},
		func(i int) call {
			return call{path: "/v1/events", body: fmt.Appendf(nil, `{"event":"type.%d","data":{}}`, i)}
		},
		func(i int) call {
			return call{path: fmt.Sprintf("/v1/events?namespace=space-%d", i), body: []byte(`{"event":"context.created","data":{}}`)}
		},
		func(i int) call { return call{method: "GET", path: fmt.Sprintf("/dashboard/ns/space-%d/", i)} },
		func(i int) call {
			return call{method: "GET", path: fmt.Sprintf("/dashboard/ns/space-%d/live?delivery=d%d", i, i)}
		},
		func(i int) call { return call{path: fmt.Sprintf("/v1/deliveries/dlv_%d/retry", i), body: []byte("{}")} },
		func(i int) call {
			return call{method: "DELETE", path: fmt.Sprintf("/v1/webhooks/wh_%016x?namespace=space-%d", i, i)}
		},
	}
	a.repeat(width, func(i int) {
		c := paths[i%len(paths)](i)
		c.token = a.Tokens["powerless-0"]
		a.do(c)
	})
}

func (s *scene) fewAccessReviews(found attackReport) {
	const most = 150
	s.onlyRefused(found)
	s.reviewsBelow(most)
}
