// SPDX-License-Identifier: Apache-2.0

// Package signer finds the secrets that a Webhook signs with. It reads Secrets
// by name and only by name, keeps them in memory for a short while, and refuses
// to be an oracle that signs with a Secret of somebody else.
//
// It never lists, watches or writes Secrets; how a generated one looks and
// rotates is in internal/signing. Controllers and gateway import it.
package signer
