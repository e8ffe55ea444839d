// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/chart/v2/util"
)

// Media types of a chart in a registry.
const (
	chartConfig = "application/vnd.cncf.helm.config.v1+json"
	chartLayer  = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// loadChart loads the chart of the tree.
func (r *release) loadChart() (*chart.Chart, error) {
	return loader.LoadDir(filepath.Join(r.tree, "charts/bbmcp-webhooks"))
}

// makeChart makes the chart as a file and as what a registry keeps.
func (r *release) makeChart(context.Context) error {
	c, err := r.loadChart()
	if err != nil {
		return err
	}
	r.stampChart(c)
	saved, err := util.Save(c, r.work)
	if err != nil {
		return err
	}
	archive, err := os.ReadFile(saved)
	if err != nil {
		return err
	}
	if err := r.writeFile(filepath.Base(saved), archive); err != nil {
		return err
	}
	image, err := chartArtefact(c.Metadata, archive, r.commit.time)
	if err != nil {
		return err
	}
	r.chart = namedImage{name: r.chartRepository() + ":" + r.version, image: image}
	return r.writeLayout("chart", r.chart)
}

// stampChart puts what the release decides into the chart: versions, digest of the image and the time of every file.
func (r *release) stampChart(c *chart.Chart) {
	m := c.Metadata
	m.Version, m.AppVersion = r.version, r.version
	m.Annotations["artifacthub.io/images"] = fmt.Sprintf("- name: %s\n  image: %s@%s\n", m.Name, r.image.name, r.imageDigest)
	m.Annotations["artifacthub.io/prerelease"] = strconv.FormatBool(strings.Contains(r.version, "-"))
	m.Annotations["org.opencontainers.image.revision"] = r.commit.id
	c.ModTime, c.SchemaModTime = r.commit.time, r.commit.time
	for _, files := range [][]*common.File{c.Raw, c.Templates, c.Files} {
		for _, each := range files {
			each.ModTime = r.commit.time
		}
		slices.SortFunc(files, func(a, b *common.File) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// chartArtefact is the chart as Helm pushes it.
func chartArtefact(m *chart.Metadata, archive []byte, at time.Time) (v1.Image, error) {
	config, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	annotations := map[string]string{
		"org.opencontainers.image.title":       m.Name,
		"org.opencontainers.image.version":     m.Version,
		"org.opencontainers.image.description": m.Description,
		"org.opencontainers.image.created":     at.Format(time.RFC3339),
	}
	maps.Copy(annotations, m.Annotations)
	return newArtefact(artefactPart{content: config, mediaType: chartConfig}, artefactPart{content: archive, mediaType: chartLayer}, annotations)
}

// chartRepository is beside the image's, which may have the same name as the chart.
func (r *release) chartRepository() string {
	host, name, _ := strings.Cut(r.repository, "/")
	return host + "/charts/" + name
}
