// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/openapi"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

const (
	// pollEvery is the pause between two looks at something that takes a while.
	pollEvery = suite.PollEvery
	// eventualTimeout is for what takes moments on a machine that is not busy.
	eventualTimeout = suite.Soon
	// maxPageTime is the longest that a page of a list may take, at the 99th percentile.
	maxPageTime = 50 * time.Millisecond
	// backlogFullFor is how long the manager calls a backlog full after a delivery was
	// skipped.
	backlogFullFor = 15 * time.Second
)

var (
	// cluster is the one control plane that all specs share.
	cluster *suite.Cluster
	// sharedGateway is the gateway of the specs that do not need one of their own.
	sharedGateway *stack.Gateway
	// endpoint takes what is sent.
	endpoint *receiver.Receiver
	// validator is what the OpenAPI document says of answers; every answer of
	// every spec is held against it.
	validator *openapi.Validator
)

func TestGateway(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Gateway")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	validator, err = openapi.Load("../docs/reference/openapi.json")
	Expect(err).NotTo(HaveOccurred())
	cluster = suite.Start(ctx, stack.Options{AuditPolicy: auditPolicy})
	// Some specs count what is stored: nothing may be swept away meanwhile.
	sharedGateway, endpoint = cluster.StartProduct(ctx, []string{"--retain-count=100000", "--backlog-full-for=" + backlogFullFor.String()}, nil)
}, NodeTimeout(suite.StartTimeout))

// The five roles.
const (
	viewer         = suite.Viewer
	deliveryViewer = suite.DeliveryViewer
	editor         = suite.Editor
	publisher      = suite.Publisher
	admin          = suite.Admin
)

// newNamespace makes one for a spec.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	return cluster.NewNamespace(ctx, "gateway-")
}

// newAccount makes a ServiceAccount with these roles and returns its token.
func newAccount(ctx context.Context, namespace, name string, roles ...string) string {
	GinkgoHelper()
	return cluster.NewAccount(ctx, namespace, name, roles...)
}

// deleteAccount deletes a ServiceAccount, which revokes its tokens.
func deleteAccount(ctx context.Context, key types.NamespacedName) {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	Expect(cluster.Client.Delete(ctx, account)).To(Succeed())
}

// gatewayOptions are those of one more gateway.
func gatewayOptions(args ...string) stack.GatewayOptions {
	return stack.GatewayOptions{Supervise: true, Args: args}
}

// apiClient calls the REST API.
type apiClient struct {
	base, token string
	header      http.Header
}

// clientFor calls the shared gateway with a token; "": with none.
func clientFor(token string) apiClient { return apiClient{base: sharedGateway.URL, token: token} }

// withHeader adds a header.
func (a apiClient) withHeader(name, value string) apiClient {
	header := a.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(name, value)
	a.header = header
	return a
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request; body is sent as it is if it is a string, else as JSON.
func (a apiClient) call(ctx context.Context, method, path string, body any) answer {
	GinkgoHelper()
	got, err := a.try(ctx, method, path, body)
	Expect(err).NotTo(HaveOccurred())
	return got
}

// try is call for a gateway that may be away.
func (a apiClient) try(ctx context.Context, method, path string, body any) (answer, error) {
	var content io.Reader
	switch typed := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(typed)
	default:
		text, err := json.Marshal(typed)
		if err != nil {
			return answer{}, err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, content)
	if err != nil {
		return answer{}, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	maps.Copy(request.Header, a.header)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if err := validator.Check(method, path, response.StatusCode, response.Header, text); err != nil && !isProbe(path) {
		return answer{}, err
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(text)}, nil
}

// isProbe tells what is no part of the REST API.
func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

// decode reads an answer that must have this status.
func decode[T any](got answer, status int) T {
	GinkgoHelper()
	var value T
	Expect(got.status).To(Equal(status), got.body)
	Expect(json.Unmarshal([]byte(got.body), &value)).To(Succeed(), got.body)
	return value
}

// decodeProblem reads a problem that must have this status.
func decodeProblem(got answer, status int) rest.Problem {
	GinkgoHelper()
	Expect(got.header.Get("Content-Type")).To(Equal("application/problem+json"), got.body)
	return decode[rest.Problem](got, status)
}
