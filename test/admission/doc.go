// SPDX-License-Identifier: Apache-2.0

// Package admission is an admission webhook that does as a test asks: it answers
// late, denies with any code, answers with an error of its own, hangs up, or is
// not there. Installed in the embedded control plane, it stands for the policies
// of a cluster.
//
// It is a ValidatingAdmissionWebhook over TLS, so the API server treats it as it
// treats any other. It never changes an object. Nothing that ships may import it.
package admission
