// SPDX-License-Identifier: Apache-2.0

//go:build release

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	spdxjson "github.com/spdx/tools-golang/json"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
	"google.golang.org/protobuf/encoding/protojson"
)

// find reads the one file of the release that hack/check-release made whose name matches.
func find(t *testing.T, pattern string) []byte {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.Getenv("RELEASE_DIST"), pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q (%v)", pattern, found, err)
	}
	return must(os.ReadFile(found[0]))(t)
}

// verify has openssl verify a signature in base64.
func verify(t *testing.T, signature string, content []byte) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "signature")
	if err := os.WriteFile(file, must(base64.StdEncoding.DecodeString(strings.TrimSpace(signature)))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-verify", os.Getenv("RELEASE_KEY"), "-signature", file)
	command.Stdin = bytes.NewReader(content)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("openssl: %w: %s", err, out)
	}
	return nil
}

func TestChecksumsAreSignedAndWhole(t *testing.T) {
	list := find(t, checksumsFile)
	signature := string(find(t, checksumsFile+".sig"))
	if err := verify(t, signature, list); err != nil {
		t.Error(err)
	}
	if err := verify(t, signature, append(slices.Clone(list), '\n')); err == nil {
		t.Error("openssl verifies what was not signed")
	}
	for _, each := range must((&release{releaseOptions: releaseOptions{out: os.Getenv("RELEASE_DIST")}}).fileChecksums())(t) {
		if !strings.HasPrefix(each.name, checksumsFile) && !strings.Contains(string(list), each.digest+"  "+each.name+"\n") {
			t.Errorf("%s is not in the list", each.name)
		}
	}
}

func TestProvenanceIsSignedAndNamesTheFiles(t *testing.T) {
	var envelope dsse.Envelope
	if err := json.Unmarshal(find(t, "*.intoto.jsonl"), &envelope); err != nil {
		t.Fatal(err)
	}
	payload := must(envelope.DecodeB64Payload())(t)
	if err := verify(t, envelope.Signatures[0].Sig, dsse.PAE(envelope.PayloadType, payload)); err != nil {
		t.Error(err)
	}
	var statement intoto.Statement
	if err := protojson.Unmarshal(payload, &statement); err != nil {
		t.Fatal(err)
	}
	list := string(find(t, checksumsFile))
	files := 0
	for _, subject := range statement.GetSubject() {
		if strings.Contains(list, subject.GetDigest()["sha256"]+"  "+subject.GetName()+"\n") {
			files++
		}
	}
	// Image and chart are subjects beside the files; the provenance itself is a file that is none.
	if lines := strings.Count(list, "\n"); files != lines-1 || len(statement.GetSubject()) != files+2 {
		t.Errorf("%d subjects, %d of them files, and %d lines in %s", len(statement.GetSubject()), files, lines, checksumsFile)
	}
}

func TestImageAndChartAreSigned(t *testing.T) {
	signatures := unpackRelease(t, "signatures")
	for _, kind := range []string{"image", "chart"} {
		signed := unpackRelease(t, kind)[0]
		hash := digestOf(t, signed)
		repository := signed.name[:strings.LastIndex(signed.name, ":")]
		at := slices.IndexFunc(signatures, func(n namedImage) bool { return n.name == repository+":sha256-"+hash+".sig" })
		if at < 0 {
			t.Fatalf("%s: no signature of sha256:%s", kind, hash)
		}
		manifest := must(signatures[at].image.Manifest())(t)
		layer := must(must(signatures[at].image.Layers())(t)[0].Uncompressed())(t)
		var content bytes.Buffer
		must(content.ReadFrom(layer))(t)
		if err := verify(t, manifest.Layers[0].Annotations["dev.cosignproject.cosign/signature"], content.Bytes()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		var c signedClaim
		if err := json.Unmarshal(content.Bytes(), &c); err != nil || c.Critical.Image.Digest != "sha256:"+hash || c.Critical.Identity.Reference != repository {
			t.Errorf("%s: the claim is %s (%v)", kind, content.Bytes(), err)
		}
	}
}

func unpackRelease(t *testing.T, kind string) []namedImage {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(file, find(t, "*-"+kind+".oci.tar"), 0o600); err != nil {
		t.Fatal(err)
	}
	return must(unpackLayout(file, t.TempDir()))(t)
}

func digestOf(t *testing.T, n namedImage) string {
	t.Helper()
	return must(n.digest())(t).Hex
}

func TestManifestsAndChartNameTheImage(t *testing.T) {
	image := unpackRelease(t, "image")[0]
	hash := digestOf(t, image)
	repository := image.name[:strings.LastIndex(image.name, ":")]
	install := string(find(t, "install.yaml"))
	if all, ours := strings.Count(install, "image: "), strings.Count(install, "image: "+repository+"@sha256:"+hash+"\n"); all == 0 || all != ours {
		t.Errorf("%d of %d images in install.yaml are that of the release", ours, all)
	}
	chart := must(unpackRelease(t, "chart")[0].image.Manifest())(t)
	if !strings.Contains(chart.Annotations["artifacthub.io/images"], image.name+"@sha256:"+hash) {
		t.Errorf("annotations of the chart: %v", chart.Annotations)
	}
}

func TestBillNamesWhatIsLinked(t *testing.T) {
	var document spdx.Document
	if err := spdxjson.ReadInto(bytes.NewReader(find(t, "*.spdx.json")), &document); err != nil {
		t.Fatal(err)
	}
	packages := map[string]*spdx.Package{}
	known := map[string]bool{"DOCUMENT": true}
	for _, each := range document.Packages {
		packages[each.PackageName] = each
		known[string(each.PackageSPDXIdentifier)] = true
	}
	for _, name := range []string{"bbmcp", "bbmcp-webhooks", "dispatcher", "stdlib", "k8s.io/client-go", "golang.org/x/crypto/x509roots/fallback"} {
		if packages[name] == nil {
			t.Errorf("%s is not in the bill", name)
		}
	}
	for _, each := range document.Relationships {
		if !known[string(each.RefA.ElementRefID)] || !known[string(each.RefB.ElementRefID)] {
			t.Errorf("%s %s %s names what is not in the bill", each.RefA.ElementRefID, each.Relationship, each.RefB.ElementRefID)
		}
	}
}
