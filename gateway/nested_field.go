// SPDX-License-Identifier: Apache-2.0

package gateway

// findMember finds a nested member; the members of a null are null.
func findMember(members map[string]any, name []string) (value any, given bool) {
	value, given = members[name[0]]
	if len(name) == 1 || !given || value == nil {
		return value, given
	}
	inner, _ := value.(map[string]any)
	return findMember(inner, name[1:])
}

// setNested sets a value in nested maps.
func setNested(members map[string]any, path []string, value any) {
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

// removeNested removes a value from nested maps, and each map that becomes empty: an empty
// map would be applied as null.
func removeNested(members map[string]any, path []string) {
	if len(path) > 1 {
		inner, _ := members[path[0]].(map[string]any)
		removeNested(inner, path[1:])
		if len(inner) > 0 {
			return
		}
	}
	delete(members, path[0])
}
