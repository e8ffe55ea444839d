// SPDX-License-Identifier: Apache-2.0

package gateway

import "time"

// apiTimeout bounds one small request to the API server: a request that is accepted while
// the server starts hangs until its own timeout.
const apiTimeout = 2 * time.Second

// fieldManager is the field manager of changes that callers make through the gateway.
const fieldManager = "bbmcp-gateway"

// requestManager is the field manager of annotations that ask the controller for an
// action. It differs from fieldManager, which would have to repeat its annotations in
// every change, or they would be removed.
const requestManager = "bbmcp-gateway-requests"
