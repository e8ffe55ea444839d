// SPDX-License-Identifier: Apache-2.0

// Package openapi checks answers of the gateway against its OpenAPI document, as
// it is checked in: that the status, the content type and the body are ones
// that the document promises. Tests import it and nothing else does.
package openapi
