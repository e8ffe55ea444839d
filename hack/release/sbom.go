// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// unknown is how SPDX has it that nothing is claimed.
const unknown = "NOASSERTION"

// sbom is the bill of materials while it is being made. It is what the linker wrote into each program, not what go.mod
// allows: modules that a program does not use are not in it.
type sbom struct {
	document *spdx.Document
	packages map[common.ElementID]bool
}

// makeSBOM makes the bill of materials of all programs.
func (r *release) makeSBOM(context.Context) error {
	b := sbom{packages: map[common.ElementID]bool{}, document: &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: "bbmcp-webhooks-" + r.version,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: module + "/hack/release"}},
			Created:  r.commit.time.Format(time.RFC3339),
		},
	}}
	var all bytes.Buffer
	for _, each := range r.programs {
		if err := b.addProgram(each, r.version); err != nil {
			return fmt.Errorf("%s for %s: %w", each.name, each.platform, err)
		}
		all.WriteString(checksum(each.content))
	}
	// The namespace must be another one for every other document.
	b.document.DocumentNamespace = fmt.Sprintf("https://%s/spdx/%s-%s", module, r.version, checksum(all.Bytes()))
	slices.SortFunc(b.document.Packages, func(x, y *spdx.Package) int {
		return cmp.Compare(x.PackageSPDXIdentifier, y.PackageSPDXIdentifier)
	})
	var text bytes.Buffer
	if err := spdxjson.Write(b.document, &text, spdxjson.Indent(" "), spdxjson.EscapeHTML(false)); err != nil {
		return err
	}
	return r.writeFile("bbmcp-webhooks-"+r.version+".spdx.json", text.Bytes())
}

// addProgram adds a program and the modules that it was linked from.
func (b sbom) addProgram(p builtProgram, version string) error {
	info, err := buildinfo.Read(bytes.NewReader(p.content))
	if err != nil {
		return err
	}
	own := b.addPackage("program", p.name+"-"+p.os+"-"+p.arch, &spdx.Package{
		PackageName: p.name, PackageVersion: version, PackageFileName: p.fileName(),
		PackageComment: "for " + p.platform.String() + ", of " + info.Path, PrimaryPackagePurpose: "APPLICATION",
		PackageLicenseDeclared: "Apache-2.0",
		PackageChecksums:       []common.Checksum{{Algorithm: common.SHA256, Value: checksum(p.content)}},
	})
	b.addRelationship("DOCUMENT", own, common.TypeRelationshipDescribe)
	library := strings.TrimPrefix(info.GoVersion, "go")
	standard := b.addPackage("module", "stdlib-"+library, &spdx.Package{
		PackageName: "stdlib", PackageVersion: library, PackageComment: "the standard library of Go", PrimaryPackagePurpose: "LIBRARY",
		PackageLicenseDeclared: "BSD-3-Clause", PackageExternalReferences: packageURL("pkg:golang/stdlib@" + library),
	})
	b.addRelationship(own, standard, common.TypeRelationshipDependsOn)
	for _, dependency := range info.Deps {
		b.addRelationship(own, b.addModule(dependency), common.TypeRelationshipDependsOn)
	}
	if p.name == imagePrograms()[0].name {
		return b.addAuthorities(own)
	}
	return nil
}

// addAuthorities adds the certificate authorities, which are beside the programs in the image. Their module is linked
// into this very program.
func (b sbom) addAuthorities(beside common.ElementID) error {
	const path = "golang.org/x/crypto/x509roots/fallback"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("version of %s: this program has no build information", path)
	}
	for _, dependency := range info.Deps {
		if dependency.Path == path {
			b.addRelationship(b.addModule(dependency), beside, common.TypeRelationshipDataFileOf)
			return nil
		}
	}
	return fmt.Errorf("version of %s: not in the build information", path)
}

func (b sbom) addModule(m *debug.Module) common.ElementID {
	if m.Replace != nil {
		m = m.Replace
	}
	return b.addPackage("module", m.Path+"-"+m.Version, &spdx.Package{
		PackageName: m.Path, PackageVersion: m.Version, PackageSourceInfo: "go.sum has " + m.Sum, PrimaryPackagePurpose: "LIBRARY",
		PackageLicenseDeclared: unknown, PackageExternalReferences: packageURL("pkg:golang/" + m.Path + "@" + m.Version),
	})
}

var notInIDs = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// addPackage adds a package once and returns its id.
func (b sbom) addPackage(kind, name string, p *spdx.Package) common.ElementID {
	id := common.ElementID("Package-" + kind + "-" + notInIDs.ReplaceAllString(name, "-"))
	if !b.packages[id] {
		b.packages[id] = true
		p.PackageSPDXIdentifier, p.PackageDownloadLocation, p.PackageLicenseConcluded, p.PackageCopyrightText = id, unknown, unknown, unknown
		b.document.Packages = append(b.document.Packages, p)
	}
	return id
}

func (b sbom) addRelationship(from, to common.ElementID, how string) {
	b.document.Relationships = append(b.document.Relationships, &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: from}, RefB: common.DocElementID{ElementRefID: to}, Relationship: how,
	})
}

func packageURL(locator string) []*spdx.PackageExternalReference {
	return []*spdx.PackageExternalReference{{
		Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: locator,
	}}
}
