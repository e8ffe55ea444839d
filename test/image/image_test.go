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

type descriptor struct {
	Digest   string
	Platform struct{ Architecture, OS string }
}

// manifest is a manifest of an image, or an index of several.
type manifest struct {
	Manifests []descriptor
	Config    descriptor
	Layers    []descriptor
}

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

// image is what the archive holds for one platform.
type image struct {
	platform string
	config   config
	files    map[string]entry
}

// each calls f for the image of each platform.
func each(t *testing.T, f func(*testing.T, image)) {
	t.Helper()
	archive, err := os.ReadFile(filepath.Join(root, "bin/image/bbmcp-webhooks.tar"))
	if err != nil {
		t.Fatal(err)
	}
	blobs := unpack(t, archive)
	read := func(content []byte, into any) {
		if err := json.Unmarshal(content, into); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(d descriptor) []byte { return blobs["blobs/"+strings.ReplaceAll(d.Digest, ":", "/")].content }
	var outer, index manifest
	read(blobs["index.json"].content, &outer)
	if len(outer.Manifests) != 1 {
		t.Fatalf("%d names in the archive", len(outer.Manifests))
	}
	read(blob(outer.Manifests[0]), &index)
	if len(index.Manifests) == 0 {
		t.Fatal("no image in the archive")
	}
	for _, d := range index.Manifests {
		one := image{platform: d.Platform.OS + "/" + d.Platform.Architecture, files: map[string]entry{}}
		var m manifest
		read(blob(d), &m)
		read(blob(m.Config), &one.config)
		for _, layer := range m.Layers {
			maps.Copy(one.files, unpack(t, blob(layer)))
		}
		t.Run(one.platform, func(t *testing.T) { f(t, one) })
	}
}

func TestImageRunsAsNobodyAndSaysWhatItIs(t *testing.T) {
	each(t, checkConfig)
}

func checkConfig(t *testing.T, of image) {
	c := of.config
	if c.OS+"/"+c.Architecture != of.platform || c.Config.User != "65532:65532" ||
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
	each(t, checkFiles)
}

func checkFiles(t *testing.T, of image) {
	var got []string
	for name, file := range of.files {
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

func TestProgramsAreStaticAndOfTheirPlatform(t *testing.T) {
	each(t, checkPrograms)
}

var machines = map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}

func checkPrograms(t *testing.T, of image) {
	for _, name := range []string{"bbmcp-webhooks", "dispatcher"} {
		program, err := elf.NewFile(bytes.NewReader(of.files[name].content))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if program.Machine != machines[of.platform] {
			t.Errorf("%s is for %s", name, program.Machine)
		}
		for _, segment := range program.Progs {
			if segment.Type == elf.PT_INTERP {
				t.Errorf("%s asks for a dynamic linker", name)
			}
		}
		if of.files[name].header.FileInfo().Mode().Perm() != 0o755 {
			t.Errorf("%s has the mode %s", name, of.files[name].header.FileInfo().Mode())
		}
	}
}

func TestAuthoritiesAreThere(t *testing.T) {
	each(t, checkAuthorities)
}

func checkAuthorities(t *testing.T, of image) {
	rest := of.files["etc/ssl/certs/ca-certificates.crt"].content
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
