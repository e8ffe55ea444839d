// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"os"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/html/atom"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	h1    = atom.H1
	title = atom.Title
)

// readExample is the example event of a type.
func readExample(eventType string) string {
	GinkgoHelper()
	text, err := os.ReadFile("../examples/events/" + eventType + ".json")
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func inNamespace(name string) client.ListOption { return client.InNamespace(name) }

var requestID = regexp.MustCompile(`req_[0-9A-Z]+`)

// withoutID makes two refusals comparable.
func withoutID(text string) string { return requestID.ReplaceAllString(text, "") }
