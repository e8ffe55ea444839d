// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"bbmcp.quietstack.com/webhooks/internal/controlplane/release"
)

// patience is how long a release host may be silent. With what comes after it the build begins within five seconds.
const patience = 4500 * time.Millisecond

// builder makes binaries. The key changes whenever they would.
type builder interface {
	key() string
	version(name string) string
	build(ctx context.Context, dir string, names []string, progress func(string)) error
}

// origins are where the binaries come from: official releases, and the builder for what they do not give.
type origins struct {
	builder    builder
	releases   []officialRelease
	downloader release.Downloader
}

// originEffort is what it took to get the binaries.
type originEffort struct {
	downloaded        int64 // bytes
	download, compile time.Duration
}

func (e originEffort) String() string {
	return fmt.Sprintf("download %s (%s), compile %s", e.download.Round(100*time.Millisecond), release.FormatMiB(e.downloaded), e.compile.Round(100*time.Millisecond))
}

// fill puts the three binaries into dir.
func (o origins) fill(ctx context.Context, dir string, progress func(string)) (originEffort, error) {
	var spent originEffort
	missing, err := o.fetch(ctx, dir, &spent, progress)
	if err != nil {
		return spent, err
	}
	if len(missing) == 0 {
		return spent, nil
	}
	start := time.Now()
	err = o.builder.build(ctx, dir, missing, progress)
	spent.compile = time.Since(start)
	return spent, err
}

// fetch downloads what can be had and returns the names of the binaries that are to be built. It fails only if the caller
// gives up: a release that cannot be had is said in one line.
func (o origins) fetch(ctx context.Context, dir string, spent *originEffort, progress func(string)) (missing []string, err error) {
	missing = binaryNames()
	wanted := o.wantedReleases()
	if len(wanted) == 0 {
		progress(fmt.Sprintf("no official release to download: the tree has no digest of %s for %s", binariesWithVersions(missing, o.builder.version), releasePlatform()))
		return missing, nil
	}
	progress("downloading " + describeReleases(wanted))
	start, checked := time.Now(), int64(0)
	for _, r := range wanted {
		o.downloader.ReportEvery = reportEvery
		o.downloader.Report = func(done, total int64) {
			of := ""
			if total > 0 {
				of = " of " + release.FormatMiB(total)
			}
			progress(fmt.Sprintf("downloading %s: %s%s, %s", strings.Join(r.Binaries, ", "), release.FormatMiB(done), of, elapsed(start)))
		}
		size, err := o.downloader.Fetch(ctx, r.File, dir)
		spent.downloaded += size
		spent.download = time.Since(start)
		if ctx.Err() != nil {
			return missing, fmt.Errorf("download: %w", ctx.Err())
		}
		if err == nil {
			checked += size
			missing = slices.DeleteFunc(missing, func(name string) bool { return slices.Contains(r.Binaries, name) })
			continue
		}
		progress(fmt.Sprintf("cannot download %s %s: %s; what is missing is built", strings.Join(r.Binaries, ", "), r.version, printableOriginError(err)))
		if errors.Is(err, release.ErrNoAnswer) {
			break
		}
	}
	if len(missing) < len(binaryNames()) {
		progress(fmt.Sprintf("downloaded %s in %s, digests as published", release.FormatMiB(checked), elapsed(start)))
	}
	return missing, nil
}

// wantedReleases are the releases of this platform that have a digest and are of the minor versions that would be built.
func (o origins) wantedReleases() []officialRelease {
	return slices.DeleteFunc(slices.Clone(o.releases), func(r officialRelease) bool {
		other := slices.ContainsFunc(r.Binaries, func(name string) bool { return releaseMinor(o.builder.version(name)) != releaseMinor(r.version) })
		return r.platform != releasePlatform() || r.Digest == "" || other
	})
}

// binariesWithVersions writes "etcd v3.7.1, kube-apiserver v1.37.1".
func binariesWithVersions(names []string, version func(string) string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + " " + version(name)
	}
	return strings.Join(parts, ", ")
}

// maxErrorRunes bounds what is said of an error: hosts and proxies have a say in it.
const maxErrorRunes = 300

// printableOriginError writes an error without line breaks and without anything that a terminal obeys.
func printableOriginError(err error) string {
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, err.Error())
	text := []rune(strings.Join(strings.Fields(printable), " "))
	if len(text) > maxErrorRunes {
		return string(text[:maxErrorRunes]) + "…"
	}
	return string(text)
}
