// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// group and apiVersion are of what the product declares.
const (
	group      = "bbmcp.quietstack.com"
	apiVersion = group + "/v1alpha1"
)

// items stands in a path for the only item of a list.
const items = "[]"

// field is one leaf of what can be written into an object.
type field struct {
	path   []string // of members
	schema apiextensionsv1.JSONSchemaProps
}

func (f field) String() string { return strings.Join(f.path, ".") }

// crdFields lists the leaves of spec and status in the CRD of a resource.
func crdFields(root, resource string) ([]field, error) {
	text, err := os.ReadFile(filepath.Join(root, "config/crd/bases/"+group+"_"+resource+".yaml"))
	if err != nil {
		return nil, err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &definition); err != nil {
		return nil, err
	}
	var all []field
	for _, part := range []string{"spec", "status"} {
		all = appendLeafFields(all, []string{part}, definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties[part])
	}
	return all, nil
}

func appendLeafFields(all []field, path []string, schema apiextensionsv1.JSONSchemaProps) []field {
	isObjects := schema.Items != nil && len(schema.Items.Schema.Properties) > 0
	switch {
	case len(schema.Properties) > 0:
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			all = appendLeafFields(all, append(slices.Clone(path), name), schema.Properties[name])
		}
		return all
	case isObjects:
		return appendLeafFields(all, append(slices.Clone(path), items), *schema.Items.Schema)
	default:
		return append(all, field{path: path, schema: schema})
	}
}

// fieldVictim is what an attacker knows of its neighbour.
type fieldVictim struct {
	Namespace, Webhook, UID, WebhookID string
	Secret, URL, Host, Publisher       string
	// Delivery is the name of an object, DeliveryID what REST calls it; Event is its
	// id, Payload what is sent.
	Delivery, DeliveryID, DeliveryUID, Event, Payload string
	// Next is the number of the event that comes next.
	Next int
}

// texts are the neighbour's names, and what is not expected where a text is.
func (v fieldVictim) texts() []any {
	return []any{
		"", v.Webhook, v.Namespace, v.Namespace + "/" + v.Webhook, v.UID, v.WebhookID, v.Secret, v.URL, "https://" + v.Host + "/",
		v.Publisher, v.Delivery, v.DeliveryID, v.DeliveryUID, v.Event,
	}
}

// farTimes are times that nobody expects, in a layout.
func farTimes(layout string) []any {
	all := []any{""}
	for _, at := range []time.Time{
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0), time.Now(), time.Now().Add(time.Hour),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		all = append(all, at.UTC().Format(layout))
	}
	return all
}

const (
	microLayout  = "2006-01-02T15:04:05.000000Z"
	secondLayout = "2006-01-02T15:04:05Z"
)

// telling are values of members by which the product judges an endpoint, or whose
// form no other value has.
func (v fieldVictim) telling() map[string][]any {
	return map[string][]any{
		"reason":         {"Timeout", "HTTPStatus", "Throttled", "Gone", "DispatcherLost", "AttemptsFailing"},
		"responseStatus": {200, 410, 429, 503},
		"type":           {"Ready", "EndpointHealthy", "BacklogFull", "Succeeded"},
		"payload":        {v.Payload},
		"traceParent":    {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
}

// values are what is written into a field.
func (v fieldVictim) values(f field) []any {
	all := slices.Clone(v.telling()[f.path[len(f.path)-1]])
	schema := f.schema
	switch {
	case len(schema.Enum) > 0:
		for _, one := range schema.Enum {
			all = append(all, json.RawMessage(one.Raw))
		}
	case schema.Type == "boolean":
		all = append(all, true, false)
	case schema.Type == "integer":
		all = append(all, int64(math.MinInt64), -1, 0, 1, math.MaxInt32, int64(math.MaxInt64))
	case schema.Type == "array":
		all = append(all, []any{})
		for _, one := range v.strings(*schema.Items.Schema) {
			all = append(all, []any{one})
		}
	default:
		all = append(all, v.strings(schema)...)
	}
	return all
}

// strings are what is written where a text is expected.
func (v fieldVictim) strings(schema apiextensionsv1.JSONSchemaProps) []any {
	switch {
	case schema.Format == "date-time" && strings.Contains(schema.Pattern, "{6}Z"):
		return farTimes(microLayout)
	case schema.Format == "date-time":
		return farTimes(secondLayout)
	case strings.Contains(schema.Pattern, "ms|s|m|h"):
		return []any{"", "0s", "1ms", "1s", "30s", "24h", "720h", "999999h"}
	}
	longest := int64(1024)
	if schema.MaxLength != nil {
		longest = *schema.MaxLength
	}
	return append(v.texts(), strings.Repeat("a", int(longest)))
}

// with returns a copy of an object in which a field has a value.
func (f field) with(object map[string]any, value any) map[string]any {
	return setField(object, f.path, value).(map[string]any)
}

func setField(in any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if path[0] == items {
		list, _ := in.([]any)
		if len(list) == 0 {
			list = []any{map[string]any{}}
		}
		return []any{setField(list[0], path[1:], value)}
	}
	members, _ := in.(map[string]any)
	changed := maps.Clone(members)
	if changed == nil {
		changed = map[string]any{}
	}
	changed[path[0]] = setField(changed[path[0]], path[1:], value)
	return changed
}
