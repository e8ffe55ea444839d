// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// bodyAttacks send bodies that nobody asked for.
func bodyAttacks() []attack {
	return []attack{
		{name: "bodies of who has no right", arrange: (*scene).powerless, act: sendBodies, after: (*scene).onlyRefused, cores: 1},
		{name: "bodies of many who have no right", arrange: (*scene).manyPowerless, act: sendBodies, after: (*scene).onlyRefused, cores: 1},
	}
}

// manyPowerless gives the attacker twenty.
func (s *scene) manyPowerless() {
	for i := range 20 {
		s.token(fmt.Sprint("powerless-", i))
	}
}

// bodies are of all that reads one.
func sendBodies(a *attacker) {
	const width, mebi = 60, 1 << 20
	item := `{"specversion":"1.0","id":"1","source":"/a","type":"context.created","data":{"text":"` + strings.Repeat("x", 80_000) + `"}}`
	batch := []byte("[" + strings.TrimSuffix(strings.Repeat(item+",", 98), ",") + "]")
	event := []byte(`{"event":"context.created","data":{"text":"` + strings.Repeat("x", mebi-1000) + `"}}`)
	batchType := map[string]string{"Content-Type": "application/cloudevents-batch+json"}
	calls := []call{
		{path: "/v1/events", body: batch, header: batchType},
		{path: "/v1/events", body: event},
		{path: "/v1/events", body: event, header: map[string]string{"Ce-Type": "context.created", "Ce-Id": "1", "Ce-Source": "/a", "Ce-Specversion": "1.0"}},
		{path: "/v1/events?namespace=" + neighbourSpace, body: batch, header: batchType},
		{path: "/v1/events", body: event, header: map[string]string{"Content-Type": "application/cloudevents+json"}},
		{path: "/v1/webhooks", body: event},
		{path: "/v1/webhooks/wh_0123456789abcdef/test", body: event},
		{path: "/v1/events", body: batch, header: map[string]string{"Content-Type": "application/cloudevents-batch+json", "Content-Encoding": "gzip"}},
		{path: "/dashboard/sign-in", body: event, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
		{path: "/v1/nothing", body: batch},
	}
	a.repeat(width, func(i int) {
		c := calls[(i%width+i/width)%len(calls)]
		c.token = a.Tokens[fmt.Sprint("powerless-", i%len(a.Tokens))]
		if i%3 == 0 {
			a.trickleBody(c)
			return
		}
		if status, text := a.do(c); status == http.StatusMultiStatus && strings.Contains(text, `"status":202`) {
			a.note("202", text, 0)
		}
	})
}

// trickleBody sends all of a body but its last byte at once, and that late.
func (a *attacker) trickleBody(c call) {
	read, write := io.Pipe()
	go func() {
		_, _ = io.Copy(write, bytes.NewReader(c.body[:len(c.body)-1]))
		a.wait(5 * time.Second)
		_ = write.CloseWithError(io.ErrUnexpectedEOF)
	}()
	request, err := http.NewRequestWithContext(a, http.MethodPost, a.Gateway+c.path, read)
	if err != nil {
		return
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	began := time.Now()
	response, err := a.client.Do(request)
	_ = read.Close()
	if err != nil {
		return // it never ended
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
	a.note(fmt.Sprint(response.StatusCode), string(text), time.Since(began))
}
