// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	// placeholder is where the name of an object goes.
	placeholder = "NAME-OF-THE-DELIVERY"
	// apiTimeout is for one request.
	apiTimeout = 10 * time.Second
)

// api writes deliveries of one webhook at the least cost for the client: bodies
// are made once, answers are searched and not decoded.
type api struct {
	host       *fasthttp.HostClient
	collection string // URL
	owner      *v1alpha1.Webhook
	status     string
	object     string // with placeholders for name and payload
}

// newAPI makes one that has all rights. The API server decides about each
// request all the same.
func (w *deployment) newAPI(owner *v1alpha1.Webhook) (*api, error) {
	config := w.stack.ControlPlane.AdminConfig()
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(w.stack.ControlPlane.APIServerURL())
	if err != nil {
		return nil, err
	}
	tls.NextProtos = nil // HTTP/1.1
	object, err := json.Marshal(delivery(owner, placeholder, placeholder+"-payload"))
	if err != nil {
		return nil, err
	}
	status, err := json.Marshal(succeeded())
	if err != nil {
		return nil, err
	}
	return &api{
		host:       &fasthttp.HostClient{Addr: base.Host, IsTLS: true, TLSConfig: tls, MaxConns: ceilingWriters, MaxIdemponentCallAttempts: 1},
		collection: fmt.Sprintf("%s/apis/%s/namespaces/%s/webhookdeliveries", base, v1alpha1.GroupVersion, owner.Namespace),
		owner:      owner, object: string(object), status: string(status),
	}, nil
}

func (a *api) create(ctx context.Context, name, payload string) (written, error) {
	quoted, err := json.Marshal(payload)
	if err != nil {
		return written{}, err
	}
	body := strings.Replace(a.object, `"`+placeholder+`-payload"`, string(quoted), 1)
	body = strings.ReplaceAll(body, placeholder, name)
	version, err := a.do(ctx, http.MethodPost, a.collection, body)
	return written{name: name, resourceVersion: version}, err
}

// settle writes the status as the manager does: without the spec.
func (a *api) settle(ctx context.Context, one written) (written, error) {
	body := fmt.Sprintf(`{"apiVersion":%q,"kind":"WebhookDelivery","metadata":{"namespace":%q,"name":%q,"resourceVersion":%q},"spec":{"webhookRef":{}},"status":%s}`,
		v1alpha1.GroupVersion, a.owner.Namespace, one.name, one.resourceVersion, a.status)
	version, err := a.do(ctx, http.MethodPut, a.collection+"/"+one.name+"/status", body)
	one.resourceVersion = version
	return one, err
}

// remove deletes the object as retention does: as it was when it finished.
func (a *api) remove(ctx context.Context, one written) error {
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":%q}}`, one.resourceVersion)
	_, err := a.do(ctx, http.MethodDelete, a.collection+"/"+one.name, body)
	return err
}

// do makes a request and returns the resourceVersion of the answer, if any.
func (a *api) do(ctx context.Context, method, target, body string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(target)
	request.Header.SetMethod(method)
	request.Header.SetContentType("application/json")
	request.SetBodyString(body)
	if err := a.host.DoTimeout(request, response, apiTimeout); err != nil {
		return "", err
	}
	answer := response.Body()
	if code := response.StatusCode(); code >= http.StatusMultipleChoices {
		return "", fmt.Errorf("%s %s: %d: %.300s", method, target, code, answer)
	}
	_, rest, _ := bytes.Cut(answer, []byte(`"resourceVersion":"`))
	version, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(version), nil
}
