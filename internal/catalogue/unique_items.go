// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

var errNotUnique = errors.New("two items are equal")

// checkUniqueItems is the keyword uniqueItems, in time linear in what the items hold:
// the library compares items with each other whose hashes are equal, and makes
// equal hashes of items that are not.
func (m *stepMeter) checkUniqueItems(items []any) error {
	seen := make(map[[sha256.Size]byte]struct{}, len(items))
	var text []byte
	for _, item := range items {
		text = m.appendCanonicalItem(text[:0], item)
		sum := sha256.Sum256(text)
		if _, again := seen[sum]; again {
			return errNotUnique
		}
		seen[sum] = struct{}{}
	}
	return nil
}

// appendCanonicalItem appends a text that two values have in common if and only if
// they are equal. Numbers are spelled as package payload spells them: equal ones
// alike.
func (m *stepMeter) appendCanonicalItem(text []byte, value any) []byte {
	const bytesPerStep = 32
	switch value := value.(type) {
	case map[string]any:
		m.spend(1 + len(value))
		text = appendItemLength(append(text, '{'), len(value))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			text = m.appendCanonicalItem(text, name)
			text = m.appendCanonicalItem(text, value[name])
		}
		return text
	case []any:
		m.spend(1)
		text = appendItemLength(append(text, '['), len(value))
		for _, item := range value {
			text = m.appendCanonicalItem(text, item)
		}
		return text
	case string:
		m.spend(1 + len(value)/bytesPerStep)
		return append(appendItemLength(append(text, '"'), len(value)), value...)
	case json.Number:
		m.spend(1)
		return append(appendItemLength(append(text, '0'), len(value)), value...)
	case bool:
		if value {
			return append(text, 't')
		}
		return append(text, 'f')
	default:
		return append(text, 'n')
	}
}

func appendItemLength(text []byte, length int) []byte {
	return binary.AppendUvarint(text, uint64(length)) //nolint:gosec // G115: lengths are not negative
}
