// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"net/url"
	"runtime"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/controlplane/release"
)

// Versions that the table is of. They may be another patch than hack/controlplane/go.mod has, since a digest comes to
// light later than a module; a release of another minor version is not downloaded.
const (
	kubernetesRelease = "v1.37.1"
	etcdRelease       = "v3.7.1"
)

// Where digests were found, as owner/repository and file.
const (
	kopsAssets     = "kubernetes/kops `pkg/assets/assetdata/k8s-1.37.yaml`"
	chefEtcd       = "sous-chefs/etcd `resources/etcd_installation_binary.rb`"
	pgsentryEtcd   = "nhatminh06/pgsentry `scripts/etcd/common.sh`"
	hostwrightEtcd = "hostwright/hostwright `Sources/HostwrightCluster/ManagedEtcdArtifact.swift`"
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
	source           string // where it was found
}

// publishedDigests are of the versions above. A digest got here by another way than the download; it is never computed of
// what was downloaded. What has none is built. hack/controlplane/README.md has this table for people, says how the digests
// were checked against each other, and a test compares the two.
//
// For Kubernetes it is that of the binary at dl.k8s.io, for etcd that of the archive, from SHA256SUMS of the release.
func publishedDigests() []published {
	return []published{
		{
			platform: "linux/amd64", binary: apiServerBinary, source: kopsAssets,
			digest: "de9b1b43c10143f448408b3aaf15f44fd5248b97a56301417a1fe2f1fc47a691",
		},
		{
			platform: "linux/amd64", binary: controllerManagerBinary, source: kopsAssets,
			digest: "acd67c8f8871d4594f307d2816bf11aa972f47617ee6e1f84b0ce92a091f7290",
		},
		{
			platform: "linux/amd64", binary: etcdBinary, source: chefEtcd + ", " + pgsentryEtcd,
			digest: "e8cd3fa8064c98137c5dbd78b76f969417ace84efb83c481041d7a52ffdd8fb9",
		},
		{
			platform: "linux/arm64", binary: apiServerBinary, source: kopsAssets,
			digest: "c3c240bc4a0fbe3ad311ac3d74ca1d19ac411628130ea825049550fd856020d9",
		},
		{
			platform: "linux/arm64", binary: controllerManagerBinary, source: kopsAssets,
			digest: "b470c3730cd8e49622c656c47ac16ef994e2edf14ba905be2dad05bc34a4e353",
		},
		{
			platform: "linux/arm64", binary: etcdBinary, source: chefEtcd + ", " + hostwrightEtcd,
			digest: "d7e25e08f694b6ed7792fc7b7a891fe2c3f3d3dccfe2f3bfdb1547b0eb75b6da",
		},
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

// releasePlatform is this machine's, as the table of releases names it.
func releasePlatform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// describeReleases names what is downloaded and from where: "etcd v3.7.1 from github.com".
func describeReleases(releases []officialRelease) string {
	parts := make([]string, len(releases))
	for i, r := range releases {
		host := ""
		if u, err := url.Parse(r.URL); err == nil {
			host = u.Host
		}
		parts[i] = fmt.Sprintf("%s %s from %s", strings.Join(r.Binaries, ", "), r.version, host)
	}
	return strings.Join(parts, ", ")
}

// releaseMinor is a version without its patch: "v1.37" of "v1.37.2".
func releaseMinor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}
