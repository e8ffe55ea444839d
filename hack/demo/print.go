// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// asTable asks the API server for the columns that kubectl shows.
const asTable = "application/json;as=Table;v=v1;g=meta.k8s.io"

// print shows the objects as kubectl get does.
func (d *demo) print(ctx context.Context) error {
	config := d.stack.ControlPlane.AdminConfig()
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	scheme := stack.Scheme()
	metav1.AddToGroupVersion(scheme, v1alpha1.GroupVersion)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	rester, err := rest.RESTClientFor(config)
	if err != nil {
		return fmt.Errorf("print objects: %w", err)
	}
	for _, resource := range []string{"webhooks", "webhookdeliveries"} {
		fmt.Printf("\n$ kubectl get %s\n", resource)
		raw, err := rester.Get().Namespace(metav1.NamespaceDefault).Resource(resource).SetHeader("Accept", asTable).DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("get %s: %w", resource, err)
		}
		table := &metav1.Table{}
		if err := runtime.DecodeInto(jsonDecoder(), raw, table); err != nil {
			return fmt.Errorf("read the table of %s: %w", resource, err)
		}
		if err := printers.NewTablePrinter(printers.PrintOptions{}).PrintObj(table, os.Stdout); err != nil {
			return fmt.Errorf("print %s: %w", resource, err)
		}
	}
	fmt.Println()
	return nil
}

func jsonDecoder() runtime.Decoder {
	scheme := runtime.NewScheme()
	metav1.AddMetaToScheme(scheme) //nolint:errcheck // cannot fail: the types are known at compile time
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}

// showLogs prints the end of every log, to tell why something did not happen.
func (d *demo) showLogs() {
	logs, err := d.stack.Logs()
	if err != nil {
		return
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Printf("\n--- %s\n%s\n", log, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

// invite prints what a person can try next. It is the only place where the token
// is printed.
func (d *demo) invite() {
	fmt.Printf(`
Everything stays up until Ctrl-C. In a browser, sign in with this link (whoever has it has the token; it is made for this demo):

  %[2]s/dashboard/sign-in#token=%[3]s

The dashboard is at %[2]s/dashboard; another token for it: kubectl create token demo --duration=8h. In another terminal:

  . %[1]s                         # KUBECONFIG, BBMCP_API_URL, BBMCP_API_KEY, ENDPOINT
  kubectl get wh,whd -o wide
  kubectl describe wh demo
  kubectl explain webhook.spec.retryPolicy
  kubectl apply -f examples/deliveries     # four more, by hand

  go run ./cmd/bbmcp webhooks list
  go run ./cmd/bbmcp webhooks test demo --event context.created --wait
  curl -H "Authorization: Bearer $BBMCP_API_KEY" $BBMCP_API_URL/v1/webhooks/%[4]s/deliveries

docs/getting-started.md goes on from here. Logs: %[5]s
`, environmentFile, d.gateway.URL, d.token, identity.WebhookID(demoNamespace, "demo"), d.stack.Dir)
}
