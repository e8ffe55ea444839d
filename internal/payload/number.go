// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// What a double can hold, generously: beyond these a number is surely changed.
const (
	// maxSignificantDigits is the most that JavaScript ever prints, not
	// counting zeros at the end of an integer.
	maxSignificantDigits = 17
	minExponent          = -330
	maxExponent          = 310
	// maxExactIntegerDigits is a length at which every integer is a double.
	maxExactIntegerDigits = 15
)

// decimal is a JSON number as a value: 0.DIGITS × 10^exponent. Two numbers are
// equal if and only if their decimals are. It refers to the number's text, so
// it takes no memory, and no work beyond one look at each byte, whatever the
// exponent says.
type decimal struct {
	negative bool
	// digits runs from the first to the last digit that is not zero and may
	// contain a point; empty for zero.
	digits []byte
	// count is the number of digits in digits.
	count    int
	exponent int64
}

// parseDecimal reads raw, which must be a JSON number.
func parseDecimal(raw []byte) decimal {
	var d decimal
	mantissa := raw
	if mantissa[0] == '-' {
		d.negative, mantissa = true, mantissa[1:]
	}
	if i := bytes.IndexAny(mantissa, "eE"); i >= 0 {
		d.exponent = parseExponent(mantissa[i+1:])
		mantissa = mantissa[:i]
	}
	first := bytes.IndexAny(mantissa, "123456789")
	if first < 0 {
		return decimal{negative: d.negative}
	}
	last := bytes.LastIndexAny(mantissa, "123456789")
	d.digits = mantissa[first : last+1]
	d.count = len(d.digits)
	point := bytes.IndexByte(mantissa, '.')
	switch {
	case point < 0:
		d.exponent += int64(len(mantissa) - first)
	case point < first:
		d.exponent -= int64(first - point - 1)
	default:
		d.exponent += int64(point - first)
		if point < last {
			d.count--
		}
	}
	return d
}

// parseExponent reads what follows the e. Values beyond any number that fits a
// payload are cut to one that still is.
func parseExponent(text []byte) int64 {
	const enough = 1 << 40
	negative := text[0] == '-'
	if negative || text[0] == '+' {
		text = text[1:]
	}
	var e int64
	for _, c := range text {
		e = min(e*10+int64(c-'0'), enough)
	}
	if negative {
		return -e
	}
	return e
}

func (d decimal) isZero() bool { return d.count == 0 }

func (d decimal) equal(o decimal) bool {
	if d.negative != o.negative || d.exponent != o.exponent || d.count != o.count {
		return false
	}
	a, b := d.digits, o.digits
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == '.':
			a = a[1:]
		case b[0] == '.':
			b = b[1:]
		case a[0] != b[0]:
			return false
		default:
			a, b = a[1:], b[1:]
		}
	}
	return len(a) == len(b)
}

// float returns the nearest double. ok is false when there certainly is none
// that JavaScript would print with the same value.
//
// It does not hand the number's own text to strconv, whose exponents stop
// counting at some 10,000: "0.000…1e20000" can be an ordinary number.
func (d decimal) float() (f float64, ok bool) {
	if d.count > maxSignificantDigits || d.exponent < minExponent || d.exponent > maxExponent {
		return 0, false
	}
	text := make([]byte, 0, 32)
	if d.negative {
		text = append(text, '-')
	}
	for _, c := range d.digits {
		if c != '.' {
			text = append(text, c)
		}
	}
	text = append(text, 'e')
	text = strconv.AppendInt(text, d.exponent-int64(d.count), 10)
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil // an error means out of range
}

// spells reports whether d is a double of less than full precision, one below
// the smallest normal double, rounded to as many digits as d has. JavaScript
// prints the fewest digits that tell such a double from its neighbours, other
// languages more, or others that are nearer: 5e-324 is 4.9E-324 in Java. With so
// few digits that is the same value, not a more precise one.
func (d decimal) spells(f float64) bool {
	const smallestNormal = 0x1p-1022
	return math.Abs(f) < smallestNormal && d.equal(parseDecimal(strconv.AppendFloat(nil, f, 'e', d.count-1, 64)))
}

// appendNumber appends raw, which must be a JSON number, as JavaScript prints
// it. When JavaScript would print another value, it returns the reason.
func appendNumber(dst, raw []byte) ([]byte, Reason) {
	if isExactInteger(raw) {
		return append(dst, raw...), ""
	}
	d := parseDecimal(raw)
	if d.isZero() {
		if d.negative {
			return dst, NegativeZero
		}
		return append(dst, '0'), ""
	}
	f, ok := d.float()
	if !ok {
		return dst, NumberNotExact
	}
	start := len(dst)
	out := jsontext.AppendFloat(dst, f, 64)
	if !bytes.Equal(raw, out[start:]) && !d.equal(parseDecimal(out[start:])) && !d.spells(f) {
		return dst, NumberNotExact
	}
	return out, ""
}

// isExactInteger reports whether raw is already what JavaScript prints, without
// looking at its value. It is the short way for most numbers there are.
func isExactInteger(raw []byte) bool {
	digits := raw
	if digits[0] == '-' {
		digits = digits[1:]
		if digits[0] == '0' {
			return false
		}
	}
	if len(digits) > maxExactIntegerDigits {
		return false
	}
	for _, c := range digits {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

// numberDetail says what would become of raw, a number refused for reason.
func numberDetail(raw []byte, reason Reason) string {
	if reason == NegativeZero {
		return "-0 would arrive as 0 in JavaScript; send 0"
	}
	const showsWhole = 32
	if len(raw) > showsWhole {
		return "the number " + errorExcerpt(raw) + " has more digits than JavaScript keeps; send it as a string"
	}
	f, _ := strconv.ParseFloat(string(raw), 64)
	becomes := "0"
	switch {
	case math.IsInf(f, 0):
		becomes = "null"
	case f != 0:
		becomes = string(jsontext.AppendFloat(nil, f, 64))
	}
	return "the number " + string(raw) + " would arrive as " + becomes + " in JavaScript; send it as a string"
}
