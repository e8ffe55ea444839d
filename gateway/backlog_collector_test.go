// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"bbmcp.quietstack.com/webhooks/gateway/store"
)

func TestBacklogGaugesHaveTheirQuotas(t *testing.T) {
	collector := BacklogCollector{
		Backlog: func() (int, int64) { return 7, 4096 },
		Limits:  store.BacklogLimits{Cluster: 100, ClusterBytes: 1 << 20},
	}
	want := `
# HELP bbmcp_gateway_backlog_bytes Bytes of payload of unfinished deliveries.
# TYPE bbmcp_gateway_backlog_bytes gauge
bbmcp_gateway_backlog_bytes 4096
# HELP bbmcp_gateway_backlog_bytes_limit The bound of bbmcp_gateway_backlog_bytes.
# TYPE bbmcp_gateway_backlog_bytes_limit gauge
bbmcp_gateway_backlog_bytes_limit 1.048576e+06
# HELP bbmcp_gateway_backlog_deliveries Unfinished deliveries of all namespaces together.
# TYPE bbmcp_gateway_backlog_deliveries gauge
bbmcp_gateway_backlog_deliveries 7
# HELP bbmcp_gateway_backlog_deliveries_limit The bound of bbmcp_gateway_backlog_deliveries.
# TYPE bbmcp_gateway_backlog_deliveries_limit gauge
bbmcp_gateway_backlog_deliveries_limit 100
`
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
