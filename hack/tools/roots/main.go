// SPDX-License-Identifier: Apache-2.0

// Command roots prints the certificate authorities of Mozilla's list in PEM, as
// the Go project publishes them, for the image: the same bytes on every machine.
package main

import (
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}

func run() error {
	for root := range bundle.Roots() {
		// Some roots vouch only for what was issued before a date. A PEM file cannot
		// say so; what they issued later is trusted by the image all the same.
		if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return err
		}
	}
	return nil
}
