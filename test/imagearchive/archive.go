// SPDX-License-Identifier: Apache-2.0

package imagearchive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// File is a file at the root of an image.
type File struct {
	Name    string
	Mode    int64
	Content []byte
}

// SortFiles brings files into an order that does not depend on how they were found.
func SortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
}

// WriteImage writes an archive of one image, for an architecture of Linux, with one layer of these files. Its processes are no
// root.
func WriteImage(archive, name, arch, entrypoint string, files ...File) error {
	describe := func(err error) error { return fmt.Errorf("pack %s: %w", name, err) }
	layer, err := packLayer(files...)
	if err != nil {
		return describe(err)
	}
	sum := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": arch, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{entrypoint}, "User": "65532:65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return describe(err)
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return describe(err)
	}
	whole, err := packLayer(File{"config.json", 0o644, config}, File{"layer.tar", 0o644, layer}, File{"manifest.json", 0o644, manifest})
	if err != nil {
		return describe(err)
	}
	return os.WriteFile(archive, whole, 0o644) // as docker save leaves it
}

func packLayer(files ...File) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.Name, Mode: f.Mode, Size: int64(len(f.Content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
