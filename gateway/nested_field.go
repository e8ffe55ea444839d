// SPDX-License-Identifier: Apache-2.0

package gateway

// findNestedField finds a nested member; the members of a null are null.
func findNestedField(members map[string]any, name []string) (value any, given bool) {
	value, given = members[name[0]]
	if len(name) == 1 || !given || value == nil {
		return value, given
	}
	inner, _ := value.(map[string]any)
	return findNestedField(inner, name[1:])
}

// setNestedField sets a value in nested maps.
func setNestedField(members map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := members[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			members[name] = inner
		}
		members = inner
	}
	members[path[len(path)-1]] = value
}

// removeNestedField removes a value from nested maps, and each map that becomes empty: an empty
// map would be applied as null.
func removeNestedField(members map[string]any, path []string) {
	if len(path) > 1 {
		inner, _ := members[path[0]].(map[string]any)
		removeNestedField(inner, path[1:])
		if len(inner) > 0 {
			return
		}
	}
	delete(members, path[0])
}
