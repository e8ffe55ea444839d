// SPDX-License-Identifier: Apache-2.0

// Package authn finds out whose a token is.
//
// The API server decides, by a TokenReview, and its answers are kept for a while. What
// cannot be a token of this cluster costs it nothing: a token is checked first with the
// keys that the API server publishes for that (the OpenID discovery of ServiceAccounts,
// /openid/v1/jwks). A token that they verify may still be revoked, so it is reviewed all
// the same.
//
// Tokens that the keys say nothing about (of another issuer, as where people sign in by
// OpenID Connect, or all while the keys cannot be read) are reviewed within limits for
// each address and in all, so that invented ones neither load the API server nor keep
// valid ones out. Tokens that were valid within the hour do not count.
//
// Gateway, authz and internal/app import it. It never logs a token, and keeps
// digests only.
package authn
