// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// demoRoles let the demo's ServiceAccount manage webhooks, publish and look.
var demoRoles = []string{"bbmcp-viewer", "bbmcp-delivery-viewer", "bbmcp-editor", "bbmcp-publisher"} //nolint:gochecknoglobals // never changed

// publishExamples sends every example event to the gateway, as the curl commands that
// it prints do, and returns how many deliveries they became.
func (d *demo) publishExamples(ctx context.Context) (int, error) {
	files, err := filepath.Glob(filepath.Join(d.root, "examples/events/*.json"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no events in examples/events: %w", err)
	}
	slices.Sort(files)
	fmt.Printf("\n$ . %s\n", environmentFile)
	deliveries := 0
	for _, file := range files {
		some, err := d.publishExample(ctx, file)
		if err != nil {
			return 0, err
		}
		deliveries += some
	}
	return deliveries, nil
}

// publishExample publishes the event of one file.
func (d *demo) publishExample(ctx context.Context, file string) (deliveries int, err error) {
	event, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	fmt.Printf("$ curl -X POST $BBMCP_API_URL/v1/events -H \"Authorization: Bearer $BBMCP_API_KEY\" \\\n"+
		"       -H 'Content-Type: application/json' -d @examples/events/%s\n", filepath.Base(file))
	said, err := d.postEvent(ctx, event)
	if err != nil {
		return 0, err
	}
	fmt.Println(said)
	var published rest.Published
	if err := json.Unmarshal([]byte(said), &published); err != nil {
		return 0, fmt.Errorf("read the gateway's answer: %w", err)
	}
	return len(published.Deliveries), nil
}

// publishRefused publishes an event that the receiver refuses once: its delivery
// waits and is retried. It returns how many deliveries that became.
func (d *demo) publishRefused(ctx context.Context) (int, error) {
	fmt.Printf("$ curl -X PUT \"$ENDPOINT/_script?path=%s\" -d '500, 200'\n", hookPath)
	if err := d.tellReceiver(ctx, "_script", "500, 200"); err != nil {
		return 0, fmt.Errorf("make the receiver fail: %w", err)
	}
	deliveries, err := d.publishExample(ctx, filepath.Join(d.root, "examples/events/context.failed.json"))
	fmt.Println()
	return deliveries, err
}

// postEvent posts an event to the gateway with the demo's token and returns the answer, which must be a success.
func (d *demo) postEvent(ctx context.Context, event []byte) (string, error) {
	const path = "/v1/events"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.gateway+path, bytes.NewReader(event))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := d.http.Do(request)
	if err != nil {
		return "", fmt.Errorf("POST %s: %w", path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("POST %s: %w", path, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return "", fmt.Errorf("POST %s: %s: %s", path, answer.Status, text)
	}
	return strings.TrimSpace(string(text)), nil
}
