// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// workFolder is where what is not for users lies meanwhile, in the folder of the release.
const workFolder = ".work"

// releaseOptions are what the user says.
type releaseOptions struct {
	tree, out, version, key string
	// builderID is the URI of the machine that builds, for the provenance; empty: this program is named.
	builderID string
	platforms platforms
	dirty     bool
}

// versionPattern is a semantic version, without the build metadata that names of images cannot have.
var versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?$`)

// release is one that is being made.
type release struct {
	releaseOptions
	commit  commit
	history history
	license []byte
	// work takes what is not for users; it is removed at the end.
	work string
	// repository is where the image belongs, as the chart names it.
	repository string
	// signer is nil where there is no key.
	signer *signer

	image       namedImage
	imageDigest v1.Hash
	chart       namedImage
	// programs are those in the image and the command line, on each platform.
	programs []builtProgram
}

func newRelease(ctx context.Context, o releaseOptions) (*release, error) {
	if len(o.platforms) == 0 {
		o.platforms = allPlatforms()
	}
	if _, err := o.platforms.linux(); err != nil {
		return nil, err
	}
	r := &release{releaseOptions: o}
	var err error
	if r.commit, err = readCommit(ctx, o.tree, o.dirty); err != nil {
		return nil, err
	}
	if r.license, err = os.ReadFile(filepath.Join(o.tree, "LICENSE")); err != nil {
		return nil, err
	}
	if r.out, err = filepath.Abs(o.out); err != nil {
		return nil, err
	}
	chart, err := r.loadChart()
	if err != nil {
		return nil, err
	}
	image, _ := chart.Values["image"].(map[string]any)
	if r.repository, _ = image["repository"].(string); r.repository == "" {
		return nil, errors.New("the chart names no image.repository")
	}
	if o.key != "" {
		if r.commit.changed {
			return nil, errors.New("changes that are not committed are not signed: nobody could make that release again")
		}
		if r.signer, err = readSigner(o.key); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// make writes all files of the release.
func (r *release) make(ctx context.Context) error {
	var err error
	if r.history, err = r.commit.readHistory(ctx, r.tree, r.version, r.dirty); err != nil {
		return err
	}
	return r.takeSteps(ctx, r.makeCommandLine, r.makeImage, r.makeChart, r.makeManifests, r.makeSBOM,
		r.makeSignatures, r.makeNotes, r.makeProvenance, r.makeChecksums)
}

// makeImageAlone writes the image only.
func (r *release) makeImageAlone(ctx context.Context) error { return r.takeSteps(ctx, r.makeImage) }

// takeSteps takes steps in an empty folder, each on those before it.
func (r *release) takeSteps(ctx context.Context, steps ...func(context.Context) error) error {
	if err := clearReleaseFolder(r.out); err != nil {
		return err
	}
	r.work = filepath.Join(r.out, workFolder)
	if err := os.MkdirAll(r.work, 0o755); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(r.work) }()
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file of the release and says so.
func (r *release) writeFile(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(r.out, name), content, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s  %9d  %s\n", checksum(content)[:12], len(content), name)
	return nil
}

// ownFiles are the names of what a release or an image is made of.
var ownFiles = regexp.MustCompile(`^(bbmcp_.+\.(tar\.gz|zip)|bbmcp-webhooks.*\.(tar|tgz|spdx\.json|intoto\.jsonl?)|` +
	`install\.yaml|eventtypes\.yaml|RELEASE-NOTES\.md|SHA256SUMS(\.sig)?)$`)

// clearReleaseFolder removes a folder that holds nothing but the files of a release: a mistaken --out costs nobody a file.
func clearReleaseFolder(folder string) error {
	found, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, each := range found {
		if left := each.IsDir() && each.Name() == workFolder; !left && !(each.Type().IsRegular() && ownFiles.MatchString(each.Name())) {
			return fmt.Errorf("%s is not emptied: it holds %s, which is of no release", folder, each.Name())
		}
	}
	return os.RemoveAll(folder)
}
