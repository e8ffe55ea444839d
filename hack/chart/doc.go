// SPDX-License-Identifier: Apache-2.0

// Command chart writes what of charts/bbmcp-webhooks is made from other files:
// values.schema.json from hack/chart/schema.yaml, the comments of values.yaml
// and the flags in docs/reference/flags.md, and README.md from
// hack/chart/readme.md and values.yaml. make generate runs it, after it has
// copied CRDs, roles and event types from config/.
package main
