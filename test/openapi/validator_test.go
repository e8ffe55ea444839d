// SPDX-License-Identifier: Apache-2.0

package openapi

import (
	"net/http"
	"testing"
)

func TestCheck(t *testing.T) {
	v, err := Load("../../docs/reference/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	const page = `{"data":[],"next_cursor":null}`
	for name, c := range map[string]struct {
		method, path, contentType, body string
		status                          int
		bad                             bool
	}{
		"an answer as promised":                   {path: "/v1/webhooks", status: 200, body: page},
		"a query does not matter":                 {path: "/v1/webhooks?limit=3", status: 200, body: page},
		"parameters of the path":                  {path: "/v1/webhooks/wh_1/deliveries", status: 200, body: page},
		"a member may be added":                   {path: "/v1/webhooks", status: 200, body: `{"data":[],"next_cursor":null,"more":1}`},
		"a member that is missing":                {path: "/v1/webhooks", status: 200, body: `{"data":[]}`, bad: true},
		"a member of another type":                {path: "/v1/webhooks", status: 200, body: `{"data":{},"next_cursor":null}`, bad: true},
		"another content type":                    {path: "/v1/webhooks", status: 200, contentType: "text/plain", body: page, bad: true},
		"a problem":                               {path: "/v1/webhooks", status: 403, contentType: "application/problem+json", body: `{"type":"about:blank","title":"Forbidden","status":403,"detail":"x"}`},
		"a problem without a detail":              {path: "/v1/webhooks", status: 403, contentType: "application/problem+json", body: `{"type":"about:blank","title":"Forbidden","status":403}`, bad: true},
		"a problem as plain JSON":                 {path: "/v1/webhooks", status: 403, body: `{"type":"about:blank","title":"Forbidden","status":403,"detail":"x"}`, bad: true},
		"a path that is unknown":                  {path: "/v1/nope", status: 200, body: page, bad: true},
		"a path that is unknown and answered 404": {path: "/v1/nope", status: 404, body: page},
	} {
		t.Run(name, func(t *testing.T) {
			if c.contentType == "" {
				c.contentType = "application/json"
			}
			err := v.Check(http.MethodGet, c.path, c.status, http.Header{"Content-Type": {c.contentType}}, []byte(c.body))
			if (err != nil) != c.bad {
				t.Errorf("got %v", err)
			}
		})
	}
}
