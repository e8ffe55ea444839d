// SPDX-License-Identifier: Apache-2.0

// Package roundrobin puts work of several namespaces in an order in which none waits
// for all that another has. Package gateway/publish imports it.
package roundrobin
