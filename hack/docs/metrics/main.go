// SPDX-License-Identifier: Apache-2.0

// Command metrics prints docs/reference/metrics.md from what manager and
// dispatcher register.
package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"bbmcp.quietstack.com/webhooks/controllers"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/gateway"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/authn"
	"bbmcp.quietstack.com/webhooks/internal/authz"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

func main() {
	if err := printMetricsReference(); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
}

func printMetricsReference() error {
	fmt.Print("<!-- Generated from source by make generate. Do not edit. -->\n\n# Metrics\n")
	manager := &metricsReference{}
	controllers.NewMetrics(manager)
	httpserver.NewMetrics(manager)
	authn.NewMetrics(manager)
	authz.NewMetrics(manager)
	panics.New(manager, nil)
	manager.MustRegister(controllers.RunnerCollector{Stats: func() attempt.Stats { return attempt.Stats{} }}, (&controllers.ProgressiveSync{}).Collector())
	if err := manager.print("Manager"); err != nil {
		return err
	}
	fmt.Print("\nThe manager also serves those of controller-runtime, client-go and the Go runtime:\n" +
		"`controller_runtime_*`, `workqueue_*`, `rest_client_*`, `leader_election_*`, `go_*`, `process_*`.\n")
	rest := &metricsReference{}
	gateway.NewMetrics(rest)
	httpserver.NewMetrics(rest)
	authn.NewMetrics(rest)
	authz.NewMetrics(rest)
	panics.New(rest, nil)
	rest.MustRegister(gateway.BacklogCollector{})
	if err := rest.print("Gateway"); err != nil {
		return err
	}
	sidecar := &metricsReference{}
	httpserver.NewMetrics(sidecar)
	_, err := dispatcher.NewSender(dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{}), Registerer: sidecar})
	if err != nil {
		return fmt.Errorf("set up dispatcher: %w", err)
	}
	return sidecar.print("Dispatcher")
}

// metricsReference is a registry that only remembers.
type metricsReference struct{ collectors []prometheus.Collector }

// Register implements prometheus.Registerer.
func (r *metricsReference) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *metricsReference) MustRegister(all ...prometheus.Collector) {
	r.collectors = append(r.collectors, all...)
}

// Unregister implements prometheus.Registerer.
func (r *metricsReference) Unregister(prometheus.Collector) bool { return false }

func (r *metricsReference) print(process string) error {
	var rows []string
	for _, collector := range r.collectors {
		for _, desc := range describeMetrics(collector) {
			row, err := metricRow(desc, metricKind(collector))
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	fmt.Printf("\n## %s\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n%s\n", process, strings.Join(rows, "\n"))
	return nil
}

func describeMetrics(collector prometheus.Collector) []*prometheus.Desc {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		collector.Describe(descs)
	}()
	var all []*prometheus.Desc
	for desc := range descs {
		all = append(all, desc)
	}
	return all
}

func metricKind(collector prometheus.Collector) string {
	switch collector.(type) {
	case prometheus.Gauge: // it has all methods of a Counter
		return "gauge"
	case *prometheus.CounterVec, prometheus.Counter:
		return "counter"
	case *prometheus.HistogramVec, prometheus.Histogram:
		return "histogram"
	default:
		return "gauge"
	}
}

// metricRow reads what a Desc tells only as text.
func metricRow(desc *prometheus.Desc, kind string) (string, error) {
	parts := regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)", unit: ".*?", constLabels: \{\}, variableLabels: \{(.*?)\}\}$`).FindStringSubmatch(desc.String())
	if parts == nil {
		return "", fmt.Errorf("cannot read %s", desc)
	}
	labels := "–"
	if parts[3] != "" {
		labels = "`" + strings.ReplaceAll(parts[3], ",", "`, `") + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", parts[1], kind, labels, parts[2]), nil
}
