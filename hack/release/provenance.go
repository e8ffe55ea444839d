// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	predicateType = "https://slsa.dev/provenance/v1"
	// buildType names what docs/releases.md says of the build.
	buildType = "https://" + module + "/hack/release@v1"
	// payloadType is that of a statement in an envelope.
	payloadType = "application/vnd.in-toto+json"
)

// makeProvenance makes the statement of what the files so far, the image and the chart were made from: signed, in an
// envelope, if there is a key.
func (r *release) makeProvenance(ctx context.Context) error {
	statement, err := r.provenanceStatement()
	if err != nil {
		return err
	}
	name := "bbmcp-webhooks-" + r.version + ".intoto"
	if r.signer == nil {
		return r.writeFile(name+".json", append(statement, '\n'))
	}
	signer, err := dsse.NewEnvelopeSigner(r.signer)
	if err != nil {
		return err
	}
	envelope, err := signer.SignPayload(ctx, payloadType, statement)
	if err != nil {
		return err
	}
	line, err := json.Marshal(envelope)
	if err != nil {
		return err
	}
	return r.writeFile(name+".jsonl", append(line, '\n'))
}

func (r *release) provenanceStatement() ([]byte, error) {
	provenance, err := r.provenancePredicate()
	if err != nil {
		return nil, err
	}
	if err := provenance.Validate(); err != nil {
		return nil, err
	}
	plain, err := protojson.Marshal(provenance)
	if err != nil {
		return nil, err
	}
	predicate := &structpb.Struct{}
	if err := protojson.Unmarshal(plain, predicate); err != nil {
		return nil, err
	}
	subjects, err := r.provenanceSubjects()
	if err != nil {
		return nil, err
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: predicateType, Predicate: predicate}
	if err := statement.Validate(); err != nil {
		return nil, err
	}
	return marshalStatement(statement)
}

// provenanceSubjects are the files, and the image and the chart as registries know them.
func (r *release) provenanceSubjects() ([]*intoto.ResourceDescriptor, error) {
	all, err := r.fileChecksums()
	if err != nil {
		return nil, err
	}
	chart, err := r.chart.image.Digest()
	if err != nil {
		return nil, err
	}
	subjects := []*intoto.ResourceDescriptor{
		{Name: r.image.name, Digest: map[string]string{"sha256": r.imageDigest.Hex}},
		{Name: r.chart.name, Digest: map[string]string{"sha256": chart.Hex}},
	}
	for _, each := range all {
		subjects = append(subjects, &intoto.ResourceDescriptor{Name: each.name, Digest: map[string]string{"sha256": each.digest}})
	}
	return subjects, nil
}

// provenancePredicate says what was built from what. It has no times and no number of the run, so that two runs are equal.
func (r *release) provenancePredicate() (*slsa.Provenance, error) {
	platforms := []any{}
	for _, each := range r.platforms {
		platforms = append(platforms, each.String())
	}
	given := map[string]any{"version": r.version, "platforms": platforms, "repository": r.repository}
	if r.commit.changed {
		given["uncommittedChanges"] = true
	}
	parameters, err := structpb.NewStruct(given)
	if err != nil {
		return nil, err
	}
	compiler, err := programsToolchain(r.programs)
	if err != nil {
		return nil, err
	}
	materials := []*intoto.ResourceDescriptor{
		{Name: "commit" + r.commit.suffix(), Digest: map[string]string{"gitCommit": r.commit.id}},
		{Name: "toolchain", Uri: "pkg:golang/toolchain@" + compiler},
	}
	for _, name := range []string{"go.sum", "hack/release/go.sum"} {
		content, err := os.ReadFile(filepath.Join(r.tree, name))
		if err != nil {
			return nil, err
		}
		materials = append(materials, &intoto.ResourceDescriptor{Name: name, Digest: map[string]string{"sha256": checksum(content)}})
	}
	return &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: buildType, ExternalParameters: parameters, ResolvedDependencies: materials},
		RunDetails:      &slsa.RunDetails{Builder: &slsa.Builder{Id: cmp.Or(r.builderID, "https://"+module+"/hack/release")}},
	}, nil
}

// marshalStatement writes a message as JSON. What protojson writes is not meant to be equal from program to program.
func marshalStatement(message proto.Message) ([]byte, error) {
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	return out.Bytes(), nil
}
