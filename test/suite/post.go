// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"net/http"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/stack"
)

// Post sends JSON to a path of a gateway, which must accept it.
func Post(ctx context.Context, gateway *stack.Gateway, path, token, body string) {
	ginkgo.GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway.URL+path, strings.NewReader(body))
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	defer response.Body.Close()
	gomega.Expect(response.StatusCode).To(gomega.Equal(http.StatusAccepted))
}
