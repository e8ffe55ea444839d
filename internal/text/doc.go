// SPDX-License-Identifier: Apache-2.0

// Package text shortens texts that come from outside to what an API field or a page
// can hold. It is pure and imports only the standard library; every package may
// import it.
package text
