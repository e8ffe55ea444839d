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
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

const (
	// placeholder is where the name of an object goes.
	placeholder = "NAME-OF-THE-DELIVERY"
	// apiTimeout is for one request.
	apiTimeout = 10 * time.Second
)

// ceilingAPI writes deliveries of one webhook at the least cost for the client: bodies
// are made once, answers are searched and not decoded.
type ceilingAPI struct {
	host       *fasthttp.HostClient
	collection string // URL
	owner      *v1alpha1.Webhook
	status     string
	object     string // with placeholders for name and payload
}

// newCeilingAPI makes one that has all rights. The API server decides about each
// request all the same.
func (w *deployment) newCeilingAPI(owner *v1alpha1.Webhook) (*ceilingAPI, error) {
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
	object, err := json.Marshal(ceilingDelivery(owner, placeholder, placeholder+"-payload"))
	if err != nil {
		return nil, err
	}
	status, err := json.Marshal(ceilingDeliveryStatus())
	if err != nil {
		return nil, err
	}
	return &ceilingAPI{
		host:       &fasthttp.HostClient{Addr: base.Host, IsTLS: true, TLSConfig: tls, MaxConns: ceilingWriters, MaxIdemponentCallAttempts: 1},
		collection: fmt.Sprintf("%s/apis/%s/namespaces/%s/webhookdeliveries", base, v1alpha1.GroupVersion, owner.Namespace),
		owner:      owner, object: string(object), status: string(status),
	}, nil
}

func (a *ceilingAPI) create(ctx context.Context, name, payload string) (writtenDelivery, error) {
	quoted, err := json.Marshal(payload)
	if err != nil {
		return writtenDelivery{}, err
	}
	body := strings.Replace(a.object, `"`+placeholder+`-payload"`, string(quoted), 1)
	body = strings.ReplaceAll(body, placeholder, name)
	version, err := a.do(ctx, http.MethodPost, a.collection, body)
	return writtenDelivery{name: name, resourceVersion: version}, err
}

// settle writes the status as the manager does: without the spec.
func (a *ceilingAPI) settle(ctx context.Context, one writtenDelivery) (writtenDelivery, error) {
	body := fmt.Sprintf(`{"apiVersion":%q,"kind":"WebhookDelivery","metadata":{"namespace":%q,"name":%q,"resourceVersion":%q},"spec":{"webhookRef":{}},"status":%s}`,
		v1alpha1.GroupVersion, a.owner.Namespace, one.name, one.resourceVersion, a.status)
	version, err := a.do(ctx, http.MethodPut, a.collection+"/"+one.name+"/status", body)
	one.resourceVersion = version
	return one, err
}

// remove deletes the object as retention does: as it was when it finished.
func (a *ceilingAPI) remove(ctx context.Context, one writtenDelivery) error {
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":%q}}`, one.resourceVersion)
	_, err := a.do(ctx, http.MethodDelete, a.collection+"/"+one.name, body)
	return err
}

// do makes a request and returns the resourceVersion of the answer, if any.
func (a *ceilingAPI) do(ctx context.Context, method, target, body string) (string, error) {
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

// ceilingStep is a kind of write, repeated for some time; do says whether there is
// more to do.
type ceilingStep struct {
	name string
	last time.Duration
	do   func() (more bool, err error)
}

// steps are the three writes, one kind after the other, then all three in turn.
func (a *ceilingAPI) steps(ctx context.Context, s size) []ceilingStep {
	var made, settled deliveryPile
	var number atomic.Int64
	payload := event.New(eventType, kib).Payload(event.Mark{Sent: time.Now()})
	create := func() (writtenDelivery, error) {
		return a.create(ctx, fmt.Sprintf("dlv-%032d", number.Add(1)), payload)
	}
	return []ceilingStep{
		{"creates_per_s", s.ceilingPhase, func() (bool, error) {
			one, err := create()
			if err == nil {
				made.put(one)
			}
			return true, err
		}},
		{"statuses_per_s", time.Minute, func() (bool, error) {
			one, ok := made.take()
			if !ok {
				return false, nil
			}
			one, err := a.settle(ctx, one)
			settled.put(one)
			return true, err
		}},
		{"deletes_per_s", time.Minute, func() (bool, error) {
			one, ok := settled.take()
			if !ok {
				return false, nil
			}
			return true, a.remove(ctx, one)
		}},
		{report.DeliveriesPerS, s.ceilingCycle, func() (bool, error) {
			one, err := create()
			if err != nil {
				return false, err
			}
			if one, err = a.settle(ctx, one); err != nil {
				return false, err
			}
			return true, a.remove(ctx, one)
		}},
	}
}

// measure takes the steps. Per delivery are figures of the last one.
func (a *ceilingAPI) measure(ctx context.Context, s size, w *deployment) (figures, error) {
	f := figures{}
	pids := w.pids()
	for _, one := range a.steps(ctx, s) {
		allocated, err := w.apiServerAllocations(ctx)
		if err != nil {
			return nil, err
		}
		before, err := apiServerCPU(pids)
		if err != nil {
			return nil, err
		}
		count, took, err := ceilingFlatOut(ctx, one.last, one.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		after, err := apiServerCPU(pids)
		if err != nil {
			return nil, err
		}
		f[one.name] = float64(count) / took.Seconds()
		f[report.CPUPerDelivery] = float64((after - before).Microseconds()) / 1000 / float64(max(1, count))
		now, err := w.apiServerAllocations(ctx)
		if err != nil {
			return nil, err
		}
		f["api_server_allocations_per_delivery"] = (now - allocated) / float64(max(1, count))
	}
	return f, nil
}
