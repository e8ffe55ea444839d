// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/controlplane/release"
)

// Versions that the table is of: those of hack/controlplane/go.mod. A release of another version is not downloaded.
const (
	kubernetesRelease = "v1.37.2"
	etcdRelease       = "v3.7.3"
)

// officialRelease is a row of the table of official releases.
type officialRelease struct {
	release.File
	platform string // "linux/amd64"
	version  string
}

// officialHosts serve the releases: Kubernetes' and the network that it redirects to, and GitHub's for etcd.
func officialHosts() []string {
	return []string{
		"dl.k8s.io", "cdn.dl.k8s.io",
		"github.com", "objects.githubusercontent.com", "release-assets.githubusercontent.com",
	}
}

// published is a digest as a project publishes it.
type published struct {
	platform, binary string
	digest           string // empty: this binary is built on this platform
	source           string // where the project publishes it
}

// publishedDigests are of the versions above. A digest comes from what the project itself publishes, and got here by another
// way than the download; it is never computed of what was downloaded. What has none is built.
//
// For Kubernetes it is that of the binary at dl.k8s.io, for etcd that of the archive, from SHA256SUMS of the release.
// hack/controlplane/README.md has this table for people; a test compares the two.
func publishedDigests() []published {
	return []published{
		{platform: "linux/amd64", binary: apiServerBinary},
		{platform: "linux/amd64", binary: controllerManagerBinary},
		{platform: "linux/amd64", binary: etcdBinary},
		{platform: "linux/arm64", binary: apiServerBinary},
		{platform: "linux/arm64", binary: controllerManagerBinary},
		{platform: "linux/arm64", binary: etcdBinary},
	}
}

// officialReleases is the table of what may be downloaded. Nothing but this code decides on it: no flag, no variable and no
// file names another release, host or digest.
func officialReleases() []officialRelease {
	var all []officialRelease
	for _, p := range publishedDigests() {
		if p.digest == "" {
			continue
		}
		r := kubernetesBinary(p.platform, p.binary)
		if p.binary == etcdBinary {
			r = etcdArchive(p.platform)
		}
		r.Digest = p.digest
		all = append(all, r)
	}
	return all
}

// Bounds of what is downloaded: more than twice what releases have.
const (
	maxBinary      = 256 << 20
	maxEtcdArchive = 64 << 20
)

// kubernetesBinary is a binary of Kubernetes as dl.k8s.io serves it by itself; its archive has five times as much.
func kubernetesBinary(platform, name string) officialRelease {
	return officialRelease{platform: platform, version: kubernetesRelease, File: release.File{
		URL:      fmt.Sprintf("https://dl.k8s.io/release/%s/bin/%s/%s", kubernetesRelease, platform, name),
		Binaries: []string{name},
		MaxSize:  maxBinary,
	}}
}

// etcdArchive is the archive of an etcd release for Linux.
func etcdArchive(platform string) officialRelease {
	name := "etcd-" + etcdRelease + "-" + strings.ReplaceAll(platform, "/", "-")
	return officialRelease{platform: platform, version: etcdRelease, File: release.File{
		URL:         fmt.Sprintf("https://github.com/etcd-io/etcd/releases/download/%s/%s.tar.gz", etcdRelease, name),
		Binaries:    []string{etcdBinary},
		Folder:      name,
		MaxSize:     maxEtcdArchive,
		MaxUnpacked: maxBinary,
	}}
}
