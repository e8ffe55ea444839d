// SPDX-License-Identifier: Apache-2.0

// Package skipped is how a gateway tells the manager of deliveries that it did not
// make: a report under the gateway's own key of one ConfigMap. The gateway adds to
// its report until the manager says there that it has taken it.
//
// It is pure: it reads and writes no object. Controllers and gateway import it.
package skipped
