// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed assets/*.css assets/*.js assets/*.svg assets/*.woff2
var assetFiles embed.FS

// asset is one static file.
type asset struct {
	content, packed []byte // packed: gzipped; nil: compressing gains nothing
	mediaType       string
}

// assets holds the static files under names that contain a hash of their content: browsers
// keep them for ever and request none twice.
type assets struct {
	names map[string]string // name in the tree → name in URLs
	files map[string]asset  // by name in URLs
}

func loadAssets() (*assets, error) {
	a := &assets{names: map[string]string{}, files: map[string]asset{}}
	mediaTypes := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
	// Style names the fonts, so it comes after them.
	for _, extension := range []string{".woff2", ".svg", ".js", ".css"} {
		found, err := fs.Glob(assetFiles, "assets/*"+extension)
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			content, err := assetFiles.ReadFile(file)
			if err != nil {
				return nil, err
			}
			if extension == ".css" {
				for name, hashed := range a.names {
					content = bytes.ReplaceAll(content, []byte("url("+name+")"), []byte("url("+hashed+")"))
				}
			}
			if err := a.add(path.Base(file), content, mediaTypes[extension]); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *assets) add(name string, content []byte, mediaType string) error {
	sum := sha256.Sum256(content)
	extension := path.Ext(name)
	hashed := strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(sum[:6]) + extension
	file := asset{content: content, mediaType: mediaType}
	if extension != ".woff2" { // which is packed already
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		file.packed = packed.Bytes()
	}
	a.names[name], a.files[hashed] = hashed, file
	return nil
}

// path is the URL path of a file.
func (a *assets) path(name string) (string, error) {
	hashed := a.names[name]
	if hashed == "" {
		return "", fmt.Errorf("no asset %q", name)
	}
	return Root + "assets/" + hashed, nil
}

func (d *Dashboard) serveAsset(w http.ResponseWriter, request *http.Request) {
	d.backend.NoteOperation(request.Context(), "dashboard-asset")
	file, ok := d.assets.files[request.PathValue("file")]
	if !ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, "This file is of another version of the dashboard. Reload the page.")
		return
	}
	header := w.Header()
	header.Set("Content-Type", file.mediaType)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Vary", "Accept-Encoding")
	content := file.content
	if file.packed != nil && strings.Contains(request.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		content = file.packed
	}
	_, _ = w.Write(content)
}
