// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// BacklogCollector exposes the backlog and its quotas as metrics.
type BacklogCollector struct {
	Backlog func() (deliveries int, bytes int64)
	Limits  store.BacklogLimits
}

// backlogGauges are the gauges, in the order of the values in Collect.
var backlogGauges = []*prometheus.Desc{ //nolint:gochecknoglobals // never changed
	prometheus.NewDesc("bbmcp_gateway_backlog_deliveries", "Unfinished deliveries of all namespaces together.", nil, nil),
	prometheus.NewDesc("bbmcp_gateway_backlog_deliveries_limit", "The bound of bbmcp_gateway_backlog_deliveries.", nil, nil),
	prometheus.NewDesc("bbmcp_gateway_backlog_bytes", "Bytes of payload of unfinished deliveries.", nil, nil),
	prometheus.NewDesc("bbmcp_gateway_backlog_bytes_limit", "The bound of bbmcp_gateway_backlog_bytes.", nil, nil),
}

// Describe implements prometheus.Collector.
func (c BacklogCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range backlogGauges {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c BacklogCollector) Collect(metrics chan<- prometheus.Metric) {
	deliveries, bytes := c.Backlog()
	values := []float64{float64(deliveries), float64(c.Limits.Cluster), float64(bytes), float64(c.Limits.ClusterBytes)}
	for i, desc := range backlogGauges {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, values[i])
	}
}
