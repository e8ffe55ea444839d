// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

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

// printObjects prints webhooks and deliveries as kubectl get does.
func (d *demo) printObjects(ctx context.Context) error {
	config := rest.CopyConfig(d.config)
	config.GroupVersion = &v1alpha1.GroupVersion
	config.APIPath = "/apis"
	config.Timeout = waitAnswer
	scheme := stack.Scheme()
	metav1.AddToGroupVersion(scheme, v1alpha1.GroupVersion)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	rester, err := rest.RESTClientFor(config)
	if err != nil {
		return fmt.Errorf("print objects: %w", err)
	}
	for _, resource := range []string{"webhooks", "webhookdeliveries"} {
		fmt.Printf("\n$ kubectl get %s%s\n", resource, d.printedNamespace())
		raw, err := rester.Get().Namespace(d.namespace).Resource(resource).SetHeader("Accept", asTable).DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("get %s: %w", resource, err)
		}
		table := &metav1.Table{}
		if err := runtime.DecodeInto(tableDecoder(), raw, table); err != nil {
			return fmt.Errorf("read the table of %s: %w", resource, err)
		}
		if err := printers.NewTablePrinter(printers.PrintOptions{}).PrintObj(table, os.Stdout); err != nil {
			return fmt.Errorf("print %s: %w", resource, err)
		}
	}
	fmt.Println()
	return nil
}

func tableDecoder() runtime.Decoder {
	scheme := runtime.NewScheme()
	metav1.AddMetaToScheme(scheme) //nolint:errcheck // cannot fail: the types are known at compile time
	return serializer.NewCodecFactory(scheme).UniversalDeserializer()
}

// printedNamespace is the argument that kubectl needs where the namespace is not its default.
func (d *demo) printedNamespace() string {
	if d.namespace == metav1.NamespaceDefault {
		return ""
	}
	return " -n " + d.namespace
}

// printInvitation prints what a person can try next. It is the only place where the token is printed.
func (d *demo) printInvitation() {
	apply, reservation := "", ""
	if d.namespace == metav1.NamespaceDefault { // the files name it
		apply = "  kubectl apply -f examples/deliveries     # four more, by hand\n"
	}
	if d.endpoint != d.receiver {
		reservation = "; urls of webhooks name the receiver as $ENDPOINT_OF_WEBHOOKS, which is " + d.endpoint + " in this cluster"
	}
	namespace := d.printedNamespace()
	fmt.Printf(`
Everything stays up until Ctrl-C. In a browser, sign in with this link (whoever has it has the token; it is made for this demo):

  %[2]s/dashboard/sign-in#token=%[3]s

The dashboard is at %[2]s/dashboard; another token for it: kubectl create token demo --duration=8h%[6]s. In another terminal:

  . %[1]s                         # KUBECONFIG, BBMCP_API_URL, BBMCP_API_KEY, ENDPOINT
  kubectl get wh,whd -o wide%[6]s
  kubectl describe wh demo%[6]s
  kubectl explain webhook.spec.retryPolicy
%[8]s
  go run ./cmd/bbmcp webhooks list
  go run ./cmd/bbmcp webhooks test demo --event context.created --wait
  curl -H "Authorization: Bearer $BBMCP_API_KEY" $BBMCP_API_URL/v1/webhooks/%[4]s/deliveries

docs/getting-started.md goes on from here%[7]s. %[5]s
`, environmentFile, d.gateway, d.token, identity.WebhookID(d.namespace, "demo"), d.logs, namespace, reservation, apply)
}
