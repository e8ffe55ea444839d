// SPDX-License-Identifier: Apache-2.0

// Package netguard decides which addresses and URLs the dispatcher may reach.
//
// The decision that counts is made in the dialer, on the resolved address of
// every connection, so that neither a name nor a change of its answer gets
// around it. Checks of a URL as text only tell users early.
//
// It makes no connection and no lookup of its own. It imports the standard
// library and the address-guard library; only the dispatcher and its command
// import it.
package netguard
