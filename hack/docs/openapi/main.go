// SPDX-License-Identifier: Apache-2.0

// Command openapi prints the OpenAPI document of the gateway as the gateway
// serves it, indented; with --markdown what people read of it.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"

	"bbmcp.quietstack.com/webhooks/gateway"
)

func main() {
	if err := writeOpenAPIReference(); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func writeOpenAPIReference() error {
	markdown := flag.Bool("markdown", false, "print Markdown")
	flag.Parse()
	document := gateway.NewAPI(http.NewServeMux(), &gateway.Gateway{}).OpenAPI()
	if *markdown {
		writeMarkdown(os.Stdout, document)
		return nil
	}
	text, err := json.Marshal(document)
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
