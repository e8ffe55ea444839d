// SPDX-License-Identifier: Apache-2.0

// Package rest holds the JSON bodies of the REST API (docs/rest.md), as the
// gateway writes them and clients read them. The struct tags beside json are
// those from which the OpenAPI document is generated.
//
// It holds no behaviour and imports the standard library only; everyone may
// import it.
package rest
