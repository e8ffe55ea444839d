// SPDX-License-Identifier: Apache-2.0

// Command openapi prints the OpenAPI document of the gateway as the gateway
// serves it, indented.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"bbmcp.quietstack.com/webhooks/gateway"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func run() error {
	text, err := json.Marshal(gateway.NewAPI(http.NewServeMux(), &gateway.Gateway{}).OpenAPI())
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = out.WriteTo(os.Stdout)
	return err
}
