// SPDX-License-Identifier: Apache-2.0

package onepass

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const kind, resource = "WebhookDelivery", "webhookdeliveries"

// Client is a client that creates and deletes WebhookDeliveries, and writes their
// status, as the client in it does, but reads the answers in one pass, without
// metadata.managedFields. It leaves to that client all else, and every write with
// options that it does not know.
type Client struct {
	client.WithWatch

	rest rest.Interface
}

// NewClient makes one of a client for this config and httpClient.
func NewClient(inner client.WithWatch, config *rest.Config, httpClient *http.Client) (*Client, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.WithoutConversionCodecFactory{CodecFactory: serializer.NewCodecFactory(inner.Scheme())}
	written, err := rest.RESTClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("client of deliveries: %w", err)
	}
	return &Client{WithWatch: inner, rest: written}, nil
}

// Create implements client.Client.
func (c *Client) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	delivery, ok := object.(*v1alpha1.WebhookDelivery)
	if !ok || len(options) > 0 {
		return c.WithWatch.Create(ctx, object, options...)
	}
	return readWritten(delivery, c.rest.Post().Namespace(delivery.Namespace).Resource(resource).Body(delivery).Do(ctx))
}

// Delete implements client.Client.
func (c *Client) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	delivery, ok := object.(*v1alpha1.WebhookDelivery)
	if !ok {
		return c.WithWatch.Delete(ctx, object, options...)
	}
	var all client.DeleteOptions
	all.ApplyOptions(options)
	return c.rest.Delete().Namespace(delivery.Namespace).Resource(resource).Name(delivery.Name).Body(all.AsDeleteOptions()).Do(ctx).Error()
}

// Status implements client.Client.
func (c *Client) Status() client.SubResourceWriter {
	return statusWriter{SubResourceWriter: c.WithWatch.Status(), client: c}
}

type statusWriter struct {
	client.SubResourceWriter

	client *Client
}

// Update implements client.SubResourceWriter.
func (w statusWriter) Update(ctx context.Context, object client.Object, options ...client.SubResourceUpdateOption) error {
	delivery, ok := object.(*v1alpha1.WebhookDelivery)
	if !ok || len(options) > 0 {
		return w.SubResourceWriter.Update(ctx, object, options...)
	}
	return readWritten(delivery, w.client.rest.Put().Namespace(delivery.Namespace).Resource(resource).Name(delivery.Name).SubResource("status").Body(delivery).Do(ctx))
}

// readWritten makes delivery what the API server answered. After an error it is as it
// was.
func readWritten(delivery *v1alpha1.WebhookDelivery, answer rest.Result) error {
	if err := answer.Error(); err != nil {
		return err
	}
	text, err := answer.Raw()
	if err != nil {
		return err
	}
	stored, err := decodeDelivery(text)
	if err != nil {
		return fmt.Errorf("read the API server's answer about webhookdelivery %s/%s: %w", delivery.Namespace, delivery.Name, err)
	}
	*delivery = *stored
	return nil
}

func decodeDelivery(text []byte) (*v1alpha1.WebhookDelivery, error) {
	delivery := &v1alpha1.WebhookDelivery{}
	if err := json.Unmarshal(text, delivery, asTheAPIServer); err != nil {
		return nil, err
	}
	if delivery.Kind != kind {
		return nil, fmt.Errorf("it is of kind %q", delivery.Kind)
	}
	delivery.SetGroupVersionKind(schema.GroupVersionKind{}) // its type says it
	return delivery, nil
}
