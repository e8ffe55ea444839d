// SPDX-License-Identifier: Apache-2.0

// Package signingsecret finds, checks and makes the secrets that a Webhook signs
// with.
//
// The rules of the generated Secret, how it looks and what a rotation changes in
// it, are functions over objects in memory; time and randomness are arguments.
// Manager and gateway both write that Secret and follow these rules, so that one
// request rotates once, whichever process is first.
//
// [Reader] reads Secrets, by name and only by name, keeps them in memory for a
// short while, and refuses to be an oracle that signs with a Secret of another
// owner. It never lists, watches or writes Secrets.
//
// Nothing is signed here: dispatcher/signature does that. Controllers and
// gateway import this package.
package signingsecret
