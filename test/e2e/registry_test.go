// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
)

const (
	// registryName is the one that the image is named after. The node is told that registryAddress has what it has.
	registryName    = "registry.quietstack.com"
	registryAddress = "127.0.0.1:5000"
	image           = "bbmcp-webhooks"
	chart           = "charts/bbmcp-webhooks"
)

// startRegistry starts a registry that holds the release, and returns when all is there.
func startRegistry(ctx context.Context) {
	GinkgoHelper()
	command := exec.Command(filepath.Join(results, "release"), "serve", "--address="+registryAddress, os.Getenv("E2E_RELEASE"))
	process, err := childprocess.Start("registry", filepath.Join(results, "registry.log"), command)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { process.Stop(0) })
	// The chart is pushed last.
	Expect(process.WaitFor(ctx, "registry", func(ctx context.Context) error {
		_, err := registryDigest(ctx, chart)
		return err
	})).To(Succeed())
}

// registryDigest is what the registry says of the release's image or chart.
func registryDigest(ctx context.Context, repository string) (string, error) {
	address := "http://" + registryAddress + "/v2/" + repository + "/manifests/" + os.Getenv("E2E_VERSION")
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", address, response.Status)
	}
	return response.Header.Get("Docker-Content-Digest"), nil
}

// released are the arguments that name the chart of the release.
func released() []string {
	return []string{"oci://" + registryAddress + "/" + chart, "--version=" + os.Getenv("E2E_VERSION"), "--plain-http"}
}

// expectReleased fails unless all containers run the image of the release, as it was pulled.
func expectReleased(ctx context.Context) {
	GinkgoHelper()
	digest, err := registryDigest(ctx, image)
	Expect(err).NotTo(HaveOccurred())
	for _, role := range []string{"manager", "gateway"} {
		some, err := pods(ctx, role)
		Expect(err).NotTo(HaveOccurred())
		Expect(some).NotTo(BeEmpty())
		for _, pod := range some {
			for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
				Expect(strings.HasSuffix(status.ImageID, "@"+digest)).To(BeTrue(), "%s of %s runs %s, the release is %s",
					status.Name, pod.Name, status.ImageID, digest)
			}
		}
	}
}
