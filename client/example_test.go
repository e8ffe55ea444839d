// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

// Create a webhook and publish an event to it.
func Example() {
	if err := publishOne(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// created orders with a secret: true
	// deliveries: 1
}

func publishOne(ctx context.Context) error {
	endpoint, err := prepare(ctx)
	if err != nil {
		return err
	}
	// README begins
	c, err := client.New(client.Options{
		BaseURL: os.Getenv(client.EnvBaseURL),  // BBMCP_API_URL: https://bbmcp.example.com
		Token:   client.TokenFromEnvironment(), // BBMCP_API_KEY, or BBMCP_API_KEY_FILE
	})
	if err != nil {
		return err
	}
	webhook, err := c.CreateWebhook(ctx, rest.WebhookCreate{
		Name: "orders", URL: endpoint, Events: []string{"context.*", "verification.completed"},
	})
	if err != nil {
		return err
	}
	fmt.Println("created", webhook.Name, "with a secret:", webhook.Secret != nil)

	published, err := c.Publish(ctx, rest.EventPublish{
		Event: "verification.completed",
		Data:  json.RawMessage(`{"verification_id":"ver_1","transaction_hash":"0x1a2b","verified":true}`),
	})
	if refused, ok := errors.AsType[*client.Error](err); ok {
		for _, field := range refused.Problem.Errors {
			fmt.Println(field.Field, field.Detail)
		}
	}
	if err != nil {
		return err
	}
	fmt.Println("deliveries:", len(published.Deliveries))
	// README ends
	return nil
}

// prepare puts where the product runs and a key into the environment, and
// returns an endpoint.
func prepare(ctx context.Context) (string, error) {
	namespace, token, err := account(ctx, "bbmcp-editor", "bbmcp-publisher")
	if err != nil {
		return "", err
	}
	return running.endpoint.URL("/" + namespace), errors.Join(
		os.Setenv(client.EnvBaseURL, running.gateway.URL), os.Setenv(client.EnvToken, token))
}

// The README shows what the example runs.
func TestReadme(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\t// README begins\n")
	code, _, _ = strings.Cut(code, "\t// README ends\n")
	code = strings.ReplaceAll("\n"+code, "\n\t", "\n")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if code == "\n" || !strings.Contains(string(readme), "```go"+code+"```") {
		t.Errorf("README.md does not show the code of the example:%s", code)
	}
}
