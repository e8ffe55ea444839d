// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// liveAttacks are pages that follow what changes.
func liveAttacks() []attack {
	return []attack{
		{name: "live pages of everything that changes", arrange: arrangeLive, act: followChanges, after: (*scene).someRefused, cores: 0.75},
	}
}

const (
	// liveAccounts are as many callers as have all live pages of a replica.
	liveAccounts, liveEach = 25, 20
	// changesPerSecond is how often the attacker has something to follow.
	changesPerSecond = 20
	// followAgain is the pause before a page is opened again.
	followAgain = 250 * time.Millisecond
)

// arrangeLive makes callers, and a webhook whose deliveries fail and are stored.
func arrangeLive(s *scene) {
	r := s.endpoint(0, receiver.Step{Status: 500})
	s.try(s.declare(s.ctx, newProductWebhook(s.namespace, "followed", r.URL("/"))))
	s.Cleanup(s.dropWebhooks)
	s.token("publisher", "bbmcp-publisher")
	for i := range liveAccounts {
		s.token(fmt.Sprint("viewer-", i), "bbmcp-viewer", "bbmcp-delivery-viewer")
	}
}

func followChanges(a *attacker) {
	var pages sync.WaitGroup
	defer pages.Wait()
	for i := range liveAccounts * liveEach {
		pages.Go(func() { a.follow("/dashboard/ns/"+a.Namespace+"/live", a.Tokens[fmt.Sprint("viewer-", i/liveEach)]) })
	}
	a.publishAll(changesPerSecond, inputsAtATime)
}

// follow reads a live page until the attack ends, and opens it again if it is closed
// or refused.
func (a *attacker) follow(path, token string) {
	for a.Err() == nil {
		request, err := http.NewRequestWithContext(a, http.MethodGet, a.Gateway+path, http.NoBody)
		if err != nil {
			a.note(err.Error(), "", 0)
			return
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := a.client.Transport.RoundTrip(request) // without the client's time-out
		if err != nil {
			a.wait(followAgain)
			continue
		}
		a.note(fmt.Sprint("page ", response.StatusCode), "", 0)
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		a.wait(followAgain)
	}
}

// someRefused expects that the attacker was let follow, and not as often as it likes.
func (s *scene) someRefused(found attackReport) {
	if found.Answers["page 200"] == 0 || found.Answers["page 429"] == 0 {
		s.Errorf("answers of live pages: %v", found.Answers)
	}
	s.figure("live pages: %v", found.Answers)
}
