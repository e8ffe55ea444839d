// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
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
	text, err := ScrapeText(ctx, http.DefaultClient, url)
	if err != nil {
		return nil, err
	}
	return parseSamples(text)
}

func parseSamples(text string) (Samples, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
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

// ScrapeText returns what a GET of a URL answers.
func ScrapeText(ctx context.Context, client *http.Client, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", url, err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, answer.Status)
	}
	return string(text), nil
}

// ScrapeAPIServer reads the API server's metrics.
func (s *Stack) ScrapeAPIServer(ctx context.Context) (Samples, error) {
	client, err := rest.HTTPClientFor(s.ControlPlane.AdminConfig())
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	text, err := ScrapeText(ctx, client, s.ControlPlane.APIServerURL()+"/metrics")
	if err != nil {
		return nil, err
	}
	return parseSamples(text)
}
