// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"net/url"
	"strings"
	"unicode"
)

// invisible are characters that show nothing although Unicode counts them as
// letters, marks or symbols: joiners, fillers, variation selectors, the empty
// Braille pattern. The CRD names the same.
var invisible = &unicode.RangeTable{ //nolint:gochecknoglobals // never changed
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, {Lo: 0x115f, Hi: 0x1160, Stride: 1}, {Lo: 0x17b4, Hi: 0x17b5, Stride: 1},
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, {Lo: 0x2065, Hi: 0x2065, Stride: 1}, {Lo: 0x2800, Hi: 0x2800, Stride: 1},
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, {Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, {Lo: 0xffa0, Hi: 0xffa0, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0xe0000, Hi: 0xe0fff, Stride: 1}},
}

// hasInvisibleInURL reports whether a person could not see all of a text: what was
// pasted with it would be sent, and nobody could tell why it does not work.
func hasInvisibleInURL(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Z, unicode.C, invisible) })
}

// The characters that stay in a path and in a query, beside letters and digits
// (RFC 3986, sections 3.3 and 3.4). Brackets do not belong there, but that is how
// they are written, and how everything reads them.
const (
	pathSafe  = "-._~!$&'()*+,;=:@/[]"
	querySafe = pathSafe + "?"
)

// escapeURL sets path and query to those that were written. Package url keeps a path
// only if all of it is encoded, else it decodes and encodes anew, by which %2F
// becomes a slash; a query it leaves raw.
func escapeURL(u *url.URL, raw string) error {
	_, rest, _ := strings.Cut(raw, "://")
	at := strings.IndexAny(rest, "/?")
	if at < 0 {
		return nil
	}
	path, query, _ := strings.Cut(rest[at:], "?")
	var err error
	u.RawPath = percentEncodeURL(path, pathSafe)
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return err
	}
	u.RawQuery = percentEncodeURL(query, querySafe)
	return nil
}

// percentEncodeURL encodes what is neither safe nor encoded already.
func percentEncodeURL(text, safe string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case isHexDigit(c), c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z', strings.IndexByte(safe, c) >= 0,
			c == '%' && i+2 < len(text) && isHexDigit(text[i+1]) && isHexDigit(text[i+2]):
			out.WriteByte(c)
		default:
			out.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return out.String()
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
