// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// randomNumbers writes one record for each of n numbers, accepted or not.
func (g *generator) randomNumbers(n int) error {
	for range n {
		number := g.number()
		ok, err := g.acceptsNumber(number)
		if err == nil && ok {
			err = g.writeDocument(`{"n":` + number + `}`)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// acceptedNumber returns a number that can be carried.
func (g *generator) acceptedNumber() (string, error) {
	for {
		number := g.number()
		if g.IntN(3) > 0 {
			number = g.plainNumber()
		}
		ok, err := g.acceptsNumber(number)
		if err != nil || ok {
			return number, err
		}
	}
}

// plainNumber is one as most events have it.
func (g *generator) plainNumber() string {
	switch g.IntN(3) {
	case 0:
		return strconv.Itoa(g.IntN(1 << g.IntN(50)))
	case 1:
		return strconv.FormatFloat(g.Float64(), 'f', 1+g.IntN(6), 64)
	default:
		return "-" + strconv.Itoa(1+g.IntN(1e6)) + "." + strings.Repeat("0", g.IntN(4)) + strconv.Itoa(g.IntN(1e3))
	}
}

// number is any JSON number, with a liking for the edges of doubles.
func (g *generator) number() string {
	sign := []string{"", "-"}[g.IntN(2)]
	switch g.IntN(9) {
	case 0: // digits of any length, with or without point and exponent
		return sign + g.respellNumber(g.numberDigits(1+g.IntN(25)), g.IntN(640)-320)
	case 1: // few digits, near the edges of the range
		edge := []int{-324, -323, -308, -22, -7, -6, 0, 20, 21, 22, 307, 308, 309}[g.IntN(13)]
		return sign + g.respellNumber(g.numberDigits(1+g.IntN(4)), edge+g.IntN(5)-2)
	case 2: // around a power of two
		n := new(big.Int).Lsh(big.NewInt(1), uint(40+g.IntN(200)))
		return sign + n.Add(n, big.NewInt(int64(g.IntN(9)-4))).String()
	case 3: // around the last safe integer
		return sign + strconv.FormatInt(1<<53+int64(g.IntN(64))-32, 10)
	case 4: // a double as JavaScript would print it, or otherwise
		f := g.doubleNumber()
		return strconv.FormatFloat(f, "efg"[g.IntN(3)], -1, 64)
	case 5: // a double with a digit too many, too few, or as many as it needs
		return strconv.FormatFloat(g.doubleNumber(), 'e', 14+g.IntN(6), 64)
	case 6: // the exact middle between two doubles, or a double to its last digit
		f := math.Abs(g.doubleNumber())
		exact, _ := new(big.Float).SetPrec(1200).SetFloat64(f).MarshalText()
		if next := math.Nextafter(f, math.Inf(1)); g.IntN(2) == 0 && !math.IsInf(next, 0) {
			sum := new(big.Float).SetPrec(1200).SetFloat64(f)
			sum.Add(sum, new(big.Float).SetPrec(1200).SetFloat64(next))
			exact, _ = sum.Quo(sum, big.NewFloat(2)).MarshalText()
		}
		return sign + string(exact)
	case 7: // zero
		return sign + []string{"0", "0.0", "0e0", "0E-400", "0.000e+999"}[g.IntN(5)]
	default: // an exponent out of all proportion
		return sign + g.numberDigits(1+g.IntN(3)) + "e" + []string{"", "-", "+"}[g.IntN(3)] + g.numberDigits(3+g.IntN(12))
	}
}

// doubleNumber is a random finite double other than zero, of any magnitude or below
// the smallest normal one.
func (g *generator) doubleNumber() float64 {
	for {
		bits := g.Uint64()
		if g.IntN(4) == 0 {
			bits &= 1<<52 - 1
		}
		if f := math.Float64frombits(bits); f != 0 && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
}

// numberDigits returns n digits, the first of which is not zero.
func (g *generator) numberDigits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.IntN(10))
	}
	b[0] = byte('1' + g.IntN(9))
	return string(b)
}

// respellNumber writes digits, with the point after the first, × 10^exponent in one
// of the many ways that JSON has for it.
func (g *generator) respellNumber(digits string, exponent int) string {
	switch g.IntN(4) {
	case 0: // plainly, without exponent
		if exponent < 0 {
			return "0." + strings.Repeat("0", -exponent-1) + digits + g.numberZeros()
		}
		if exponent >= len(digits)-1 {
			return digits + strings.Repeat("0", exponent-len(digits)+1)
		}
		return digits[:exponent+1] + "." + digits[exponent+1:] + g.numberZeros()
	case 1: // as an integer with an exponent
		return digits + g.numberExponent(exponent-len(digits)+1)
	case 2: // with zeros in front that the exponent takes back
		n := g.IntN(30)
		return "0." + strings.Repeat("0", n) + digits + g.numberZeros() + g.numberExponent(exponent+n+1)
	default:
		fraction := digits[1:] + g.numberZeros()
		if fraction == "" {
			return digits + g.numberExponent(exponent)
		}
		return digits[:1] + "." + fraction + g.numberExponent(exponent)
	}
}

func (g *generator) numberZeros() string { return strings.Repeat("0", g.IntN(2)*g.IntN(8)) }

func (g *generator) numberExponent(e int) string {
	text := []string{"e", "E"}[g.IntN(2)]
	switch {
	case e < 0:
		text += "-"
		e = -e
	case g.IntN(2) == 0:
		text += "+"
	}
	return text + g.numberZeros() + strconv.Itoa(e)
}

// acceptsNumber reports whether the number can be carried, and writes a record of it
// if not.
func (g *generator) acceptsNumber(number string) (bool, error) {
	_, err := payload.Build("n", g.now, []byte(`{"n":`+number+`}`))
	if err == nil {
		return true, nil
	}
	refused, ok := errors.AsType[*payload.Error](err)
	if !ok || !slices.Contains([]payload.Reason{payload.NumberNotExact, payload.NegativeZero, payload.NumberTooLong}, refused.Reason) {
		return false, fmt.Errorf("build the number %.40s: %w", number, err)
	}
	return false, g.write(record{Kind: "changed", Raw: number, Reason: refused.Reason})
}
