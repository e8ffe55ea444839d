// SPDX-License-Identifier: Apache-2.0

// Command kustomize prints the objects of a folder with a kustomization, for
// make install.yaml on machines without kubectl.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"bbmcp.quietstack.com/webhooks/test/chart"
)

func main() {
	if err := printKustomization(); err != nil {
		fmt.Fprintln(os.Stderr, "kustomize:", err)
		os.Exit(1)
	}
}

func printKustomization() error {
	if len(os.Args) != 2 {
		return errors.New("usage: kustomize FOLDER")
	}
	text, err := chart.Kustomize(context.Background(), ".", os.Args[1])
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
