// SPDX-License-Identifier: Apache-2.0

// Package faircache keeps answers for a while, in a bounded number, and lets no owner
// of entries push out those of others: where there is no room, the owner with the most
// loses the one that was used least lately. Packages authn and authz import it.
package faircache
