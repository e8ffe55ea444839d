// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

// Samples are what a process told about itself, by name of the metric.
type Samples map[string]*dto.MetricFamily

// Scrape reads the metrics at a URL as Prometheus does.
func Scrape(ctx context.Context, url string) (Samples, error) {
	body, err := fetch(ctx, http.DefaultClient, url)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return ParseSamples(body)
}

// ParseSamples reads metrics in the text format.
func ParseSamples(text io.Reader) (Samples, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return families, nil
}

// Sum adds up the counters or gauges of one name that carry all these labels,
// given as name and value in turn. It is 0 if there are none.
func (s Samples) Sum(name string, labels ...string) float64 {
	want := map[string]string{}
	for i := 0; i+1 < len(labels); i += 2 {
		want[labels[i]] = labels[i+1]
	}
	var sum float64
	for _, metric := range s[name].GetMetric() {
		have := map[string]string{}
		for _, pair := range metric.GetLabel() {
			if _, asked := want[pair.GetName()]; asked {
				have[pair.GetName()] = pair.GetValue()
			}
		}
		if maps.Equal(have, want) {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

func fetch(ctx context.Context, client *http.Client, url string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		cancel()
		return nil, err
	}
	body := cancelling{answer.Body, cancel}
	if answer.StatusCode != http.StatusOK {
		_ = body.Close()
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return body, nil
}

// cancelling ends its request's context when the body is closed.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// APIServerSamples reads the API server's metrics.
func (s *Stack) APIServerSamples(ctx context.Context) (Samples, error) {
	client, err := rest.HTTPClientFor(s.ControlPlane.AdminConfig())
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	body, err := fetch(ctx, client, s.ControlPlane.APIServerURL()+"/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return ParseSamples(body)
}
