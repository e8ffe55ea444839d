// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// What is packed, unpacked and pushed has the digests that it had when it was signed.
func TestRegistryHasWhatWasPacked(t *testing.T) {
	at := time.Unix(1_700_000_000, 0).UTC()
	programs := []builtProgram{{program: program{name: "one"}, content: []byte("1")}, {program: program{name: "two"}, content: []byte("2")}}
	image := must(imageBuilder{commit: commit{time: at}}.platformImage(platform{"linux", "arm64"}, programs))(t)
	s := &signer{must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)}
	hash := must(image.Digest())(t)
	signature := must(signImage(s, "registry.example/some/image", hash))(t)

	folder := t.TempDir()
	for kind, what := range map[string]namedImage{"image": {name: "registry.example/some/image:1.2.3", image: image}, "signatures": signature} {
		archive := must(packLayout(t.TempDir(), at, what))(t)
		if err := os.WriteFile(filepath.Join(folder, "x-"+kind+".oci.tar"), archive, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	if err := pushFolder(t.Context(), folder, host); err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[string]string{
		"1.2.3":                       hash.String(),
		"sha256-" + hash.Hex + ".sig": must(signature.image.Digest())(t).String(),
	} {
		found := must(remote.Get(must(name.ParseReference(host + "/some/image:" + tag))(t)))(t)
		if got := found.Digest.String(); got != want {
			t.Errorf("%s has the digest %s, want %s", tag, got, want)
		}
	}
	config := must(image.ConfigFile())(t)
	if config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/one" || !config.Created.Equal(at) {
		t.Errorf("configuration %+v", config)
	}
}

func TestPushOfNothingIsAnError(t *testing.T) {
	if err := pushFolder(t.Context(), t.TempDir(), "127.0.0.1:1"); err == nil {
		t.Error("pushed")
	}
}

// packImage packs an image and a chart of one version into a folder, as a release does.
func packImage(t *testing.T, program string) (folder string) {
	t.Helper()
	at, folder := time.Unix(1_700_000_000, 0).UTC(), t.TempDir()
	image := must(imageBuilder{}.platformImage(platform{"linux", "arm64"}, []builtProgram{{program: commandLineProgram(), content: []byte(program)}}))(t)
	chart := must(newArtefact(artefactPart{content: []byte("{}")}, artefactPart{content: []byte(program)}, nil))(t)
	for kind, what := range map[string]namedImage{
		"image": {name: "registry.example/some/image:" + program, image: image},
		"chart": {name: "registry.example/charts/some/image:1.2.3", image: chart},
	} {
		if err := os.WriteFile(filepath.Join(folder, "x-"+kind+".oci.tar"), must(packLayout(t.TempDir(), at, what))(t), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestTagThatNamesSomethingElseStays(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	first := packImage(t, "1")
	for range 2 { // the second time all is there
		if err := pushFolder(t.Context(), first, host); err != nil {
			t.Fatal(err)
		}
	}
	chart := must(name.ParseReference(host + "/charts/some/image:1.2.3"))(t)
	before := must(remote.Get(chart))(t).Digest
	if err := pushFolder(t.Context(), packImage(t, "2"), host); err == nil {
		t.Error("another chart of that version is pushed")
	}
	if after := must(remote.Get(chart))(t).Digest; after != before {
		t.Errorf("the tag names %s, not %s any more", after, before)
	}
	if _, err := remote.Get(must(name.ParseReference(host + "/some/image:2"))(t)); err == nil {
		t.Error("the image was pushed although the chart cannot be")
	}
}

func TestRegistryThatDoesNotTellWhatItHas(t *testing.T) {
	written := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		written = written || r.Method != http.MethodGet
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	if err := pushFolder(t.Context(), packImage(t, "1"), strings.TrimPrefix(server.URL, "http://")); err == nil || written {
		t.Errorf("written: %t (%v)", written, err)
	}
}
