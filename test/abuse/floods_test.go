// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// floodAttacks are what endpoints can answer.
func floodAttacks() []attack {
	return []attack{
		{name: "endpoints that answer without end", arrange: declareFloods, act: publishToFloods, after: (*scene).someAnswers},
	}
}

// floods are answers that cost who reads them, some of them without end.
var floods = []receiver.Step{
	{Fault: receiver.EndlessBody}, {Fault: receiver.EndlessBody, Status: 500}, {Fault: receiver.EndlessHeaders},
	{Fault: receiver.Informational}, {Fault: receiver.GzipBomb}, {Fault: receiver.GzipBomb, Status: 503}, {Fault: receiver.SlowBody},
	{Fault: receiver.SlowBody, Status: 500, Every: 10 * time.Millisecond}, {Fault: receiver.ControlCharacters, Status: 400},
	{Fault: receiver.Echo, Status: 500}, {Fault: receiver.NotHTTP}, {Fault: receiver.ResetInBody}, {Fault: receiver.RedirectToMeta},
	{Status: 429, Header: map[string]string{"Retry-After": strings.Repeat("9", 300)}},
	{Status: 503, Header: map[string]string{"Retry-After": "3599"}},
	{Status: 500, Header: map[string]string{"X-Large": strings.Repeat("x", 100<<10)}},
}

func declareFloods(s *scene) {
	var hooks []*v1alpha1.Webhook
	for i, step := range floods {
		r := s.endpoint(i, step)
		hooks = append(hooks, newProductWebhook(s.namespace, fmt.Sprint("floods-", i), r.URL("/")))
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
}

// publishToFloods publishes small events to all of them.
func publishToFloods(a *attacker) { a.publishAll(40, 40) }
