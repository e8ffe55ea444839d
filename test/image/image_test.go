// SPDX-License-Identifier: Apache-2.0

//go:build image

package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// entry is a file of an archive.
type entry struct {
	header  *tar.Header
	content []byte
}

// unpack reads an archive that may be compressed.
func unpack(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	var in io.Reader = bytes.NewReader(archive)
	if compressed, err := gzip.NewReader(bytes.NewReader(archive)); err == nil {
		in = compressed
	}
	all := map[string]entry{}
	reader := tar.NewReader(in)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.Trim(path.Clean("/"+header.Name), "/")] = entry{header, content}
	}
}

type descriptor struct{ Digest string }

// config is the part of an image's configuration that we decide.
type config struct {
	Architecture string
	OS           string
	Config       struct {
		User       string
		Entrypoint []string
		Cmd        []string
		Labels     map[string]string
		Env        []string
	}
}

// load reads the image of this platform and the files of its layers.
func load(t *testing.T) (config, map[string]entry) {
	t.Helper()
	archive, err := os.ReadFile(filepath.Join(root, "bin/image/bbmcp-webhooks-"+runtime.GOARCH+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	blobs := unpack(t, archive)
	blob := func(d descriptor, into any) []byte {
		content := blobs["blobs/"+strings.ReplaceAll(d.Digest, ":", "/")].content
		if into != nil {
			if err := json.Unmarshal(content, into); err != nil {
				t.Fatalf("%s: %v", d.Digest, err)
			}
		}
		return content
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(blobs["index.json"].content, &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%d images in the archive: %v", len(index.Manifests), err)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	blob(index.Manifests[0], &manifest)
	var c config
	blob(manifest.Config, &c)
	files := map[string]entry{}
	for _, layer := range manifest.Layers {
		maps.Copy(files, unpack(t, blob(layer, nil)))
	}
	return c, files
}

func TestImageRunsAsNobodyAndSaysWhatItIs(t *testing.T) {
	c, _ := load(t)
	if c.OS != "linux" || c.Architecture != runtime.GOARCH || c.Config.User != "65532:65532" ||
		!slices.Equal(c.Config.Entrypoint, []string{"/bbmcp-webhooks"}) || len(c.Config.Cmd) != 0 {
		t.Errorf("%+v", c)
	}
	for _, name := range []string{"title", "description", "licenses", "vendor", "version", "revision"} {
		if c.Config.Labels["org.opencontainers.image."+name] == "" {
			t.Errorf("no label %s: %v", name, c.Config.Labels)
		}
	}
}

func TestImageHoldsThisAndNothingElse(t *testing.T) {
	_, files := load(t)
	var got []string
	for name, file := range files {
		if file.header.Typeflag == tar.TypeDir {
			continue
		}
		got = append(got, name)
		if mode := file.header.FileInfo().Mode(); !mode.IsRegular() || mode&(os.ModeSetuid|os.ModeSetgid) != 0 || mode.Perm()&0o022 != 0 {
			t.Errorf("%s has the mode %s", name, mode)
		}
	}
	slices.Sort(got)
	if want := []string{"LICENSE", "bbmcp-webhooks", "dispatcher", "etc/ssl/certs/ca-certificates.crt"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestProgramsAreStatic(t *testing.T) {
	_, files := load(t)
	for _, name := range []string{"bbmcp-webhooks", "dispatcher"} {
		program, err := elf.NewFile(bytes.NewReader(files[name].content))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, segment := range program.Progs {
			if segment.Type == elf.PT_INTERP {
				t.Errorf("%s asks for a dynamic linker", name)
			}
		}
		if files[name].header.FileInfo().Mode().Perm() != 0o755 {
			t.Errorf("%s has the mode %s", name, files[name].header.FileInfo().Mode())
		}
	}
}

func TestAuthoritiesAreThere(t *testing.T) {
	_, files := load(t)
	rest := files["etc/ssl/certs/ca-certificates.crt"].content
	authorities := 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !certificate.IsCA {
			t.Errorf("no authority: %v", err)
		}
		authorities++
	}
	if authorities < 100 {
		t.Errorf("%d authorities", authorities)
	}
}
