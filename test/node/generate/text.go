// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unicodeTexts writes every character there is: in strings, bare and escaped, and as
// a key of its own.
func (g *generator) unicodeTexts() error {
	const block = 1024
	for first := rune(0); first <= utf8.MaxRune; first += block {
		var bare, escaped, keys strings.Builder
		for r := first; r < first+block; r++ {
			if !utf8.ValidRune(r) {
				continue
			}
			bare.WriteString(g.spellRune(r, false))
			escaped.WriteString(g.spellRune(r, true))
			fmt.Fprintf(&keys, `"%s":%d,`, g.spellRune(r, false), r)
		}
		if keys.Len() == 0 {
			continue
		}
		data := `{"bare":"` + bare.String() + `","escaped":"` + escaped.String() + `"}`
		for _, d := range []string{data, "{" + strings.TrimSuffix(keys.String(), ",") + "}"} {
			if err := g.writeDocument(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// spellRune writes a character as it may stand in a JSON string.
func (g *generator) spellRune(r rune, escape bool) string {
	if !escape && r >= ' ' && r != '"' && r != '\\' {
		return string(r)
	}
	if short := strings.IndexRune("\"\\/\b\f\n\r\t", r); short >= 0 && g.IntN(2) == 0 {
		return `\` + `"\/bfnrt`[short:short+1]
	}
	format := []string{`\u%04x`, `\u%04X`}[g.IntN(2)]
	if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
		return fmt.Sprintf(format+format, r1, r2)
	}
	return fmt.Sprintf(format, r)
}

// character returns one from all over Unicode, often one with a history.
func (g *generator) character() rune {
	special := []rune{
		0, '\b', '\t', '\n', '\v', '\f', '\r', 0x1b, 0x1f, ' ', '"', '\'', '/', '\\', '<', '>', '&', 0x7f, 0x80, 0x85, 0xa0,
		0x300, 0x200d, 0x200e, 0x202e, 0x2028, 0x2029, 0xd7ff, 0xe000, 0xfdd0, 0xfeff, 0xfffd, 0xfffe, 0xffff, 0x10000, 0x1f600, 0x10ffff,
	}
	switch g.IntN(6) {
	case 0:
		return special[g.IntN(len(special))]
	case 1:
		return rune(g.IntN(0x20))
	case 2:
		return rune(0x80 + g.IntN(0x780))
	case 3:
		for {
			if r := rune(g.IntN(utf8.MaxRune + 1)); utf8.ValidRune(r) {
				return r
			}
		}
	default:
		return rune(' ' + g.IntN('~'-' '+1))
	}
}

// text returns a JSON string and what it means.
func (g *generator) text(maxRunes int) (spelt, meant string) {
	var s, m strings.Builder
	s.WriteByte('"')
	escapes := g.IntN(4)
	for range g.IntN(maxRunes + 1) {
		r := g.character()
		s.WriteString(g.spellRune(r, g.IntN(4) < escapes))
		m.WriteRune(r)
	}
	s.WriteByte('"')
	return s.String(), m.String()
}

// textKey returns a JSON string to be used as a key and what it means.
func (g *generator) textKey() (spelt, meant string) {
	special := []string{
		"", "0", "1", "2", "9", "10", "00", "01", "-0", "-1", "+1", "1.0", "1e1", " 1", "1 ", "0x1", "NaN", "Infinity",
		"2147483647", "2147483648", "4294967293", "4294967294", "4294967295", "4294967296", "9007199254740991", "9007199254740992",
		"18446744073709551615", "99999999999999999999", "__proto__", "constructor", "prototype", "toString", "toJSON", "valueOf",
		"length", "hasOwnProperty", "__defineGetter__", "then",
	}
	switch g.IntN(5) {
	case 0:
		meant = special[g.IntN(len(special))]
	case 1:
		meant = strconv.Itoa(g.IntN(30))
	case 2:
		meant = strconv.FormatUint(uint64(g.Uint32()), 10)
	default:
		return g.text(8)
	}
	var s strings.Builder
	escape := g.IntN(8) == 0
	for _, r := range meant {
		s.WriteString(g.spellRune(r, escape))
	}
	return `"` + s.String() + `"`, meant
}
