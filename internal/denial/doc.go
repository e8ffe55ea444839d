// SPDX-License-Identifier: Apache-2.0

// Package denial tells why the API server did not carry out a write that it
// answered: a policy, a quota, a missing role, or the object itself.
//
// The code of an answer does not say it. A policy denies with any code, and its
// 404 and 409 look like those of the API server to whoever looks at the code
// alone. So this package also reads what the API server writes before a policy's
// words, which is the only sign there is. It holds no state and talks to nobody.
// Controllers and gateway import it.
package denial
