// SPDX-License-Identifier: Apache-2.0

// Package roundrobin puts work of several namespaces in an order in which none waits
// for all that another has. Packages controllers and gateway import it.
package roundrobin
