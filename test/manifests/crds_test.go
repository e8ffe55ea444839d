// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"path/filepath"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// An older API server, such as that of Kubernetes 1.31, does not look at the format
// int32. A larger number would be stored then, and the list in which it is could be
// read by nobody.
func TestNumbersOf32BitsHaveAMaximum(t *testing.T) {
	const most = 1<<31 - 1
	var check func(path string, schema apiextensionsv1.JSONSchemaProps)
	seen := 0
	check = func(path string, schema apiextensionsv1.JSONSchemaProps) {
		if schema.Format == "int32" {
			seen++
			if schema.Maximum == nil || *schema.Maximum > most || schema.Minimum == nil || *schema.Minimum < -most {
				t.Errorf("%s is of 32 bits without a minimum and maximum that fit", path)
			}
		}
		for name, property := range schema.Properties {
			check(path+"."+name, property)
		}
		if schema.Items != nil && schema.Items.Schema != nil {
			check(path+"[]", *schema.Items.Schema)
		}
		if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
			check(path+"{}", *schema.AdditionalProperties.Schema)
		}
	}
	for _, file := range glob(t, "config/crd/bases/*.yaml") {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(read(t, file), &crd); err != nil {
			t.Fatalf("%s: %v", filepath.Base(file), err)
		}
		for _, version := range crd.Spec.Versions {
			check(crd.Spec.Names.Kind, *version.Schema.OpenAPIV3Schema)
		}
	}
	if seen == 0 {
		t.Error("no number of 32 bits was found")
	}
}
