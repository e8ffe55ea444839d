// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// UnmarshalJSON implements [json.Unmarshaler]: it reads the spec as without it, and
// notes in UnknownMembers what it has no place for.
func (s *WebhookSpec) UnmarshalJSON(text []byte) error {
	type plain WebhookSpec
	if err := utiljson.Unmarshal(text, (*plain)(s)); err != nil {
		return err
	}
	var members any
	if err := utiljson.Unmarshal(text, &members); err != nil {
		return err
	}
	s.UnknownMembers = unknownMembers(members, reflect.TypeFor[plain](), "")
	return nil
}

// unknownMembers are the paths of those members of a JSON value that its type has
// no field for, in order.
func unknownMembers(value any, kind reflect.Type, path string) (unknown []string) {
	for kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if reflect.PointerTo(kind).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	switch typed := value.(type) {
	case map[string]any:
		if kind.Kind() != reflect.Struct {
			return nil
		}
		fields := fieldsOf(kind)
		for _, name := range slices.Sorted(maps.Keys(typed)) {
			if field, isKnown := fields[name]; isKnown {
				unknown = append(unknown, unknownMembers(typed[name], field, path+name+".")...)
			} else {
				unknown = append(unknown, path+name)
			}
		}
	case []any:
		if kind.Kind() != reflect.Slice {
			return nil
		}
		for _, each := range typed {
			unknown = append(unknown, unknownMembers(each, kind.Elem(), path)...)
		}
		slices.Sort(unknown)
		unknown = slices.Compact(unknown)
	}
	return unknown
}

// fieldsOf are the types of a struct's fields by their names in JSON.
func fieldsOf(kind reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for field := range kind.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			fields[name] = field.Type
		}
	}
	return fields
}
