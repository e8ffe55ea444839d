// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// maxPatternBytes and maxPatternSize bound a regular expression: its text, and
	// the instructions that it becomes, of which counted repetitions make many.
	maxPatternBytes = 1024
	maxPatternSize  = 8192
	// instructionsPerStep is how many instructions of a pattern are tried on a
	// character in a step.
	instructionsPerStep = 16
	// wholeSteps is up to how many steps a text is matched as a whole, the fast
	// way; beyond, character by character, so that what fails early costs little.
	wholeSteps = 4096
)

// pattern is a regular expression that counts what matching it costs.
type pattern struct {
	*regexp.Regexp

	meter *stepMeter
	size  int // instructions
}

var _ jsonschema.Regexp = (*pattern)(nil)

// compilePattern compiles a regular expression of a schema.
func (m *stepMeter) compilePattern(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPatternBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxPatternBytes)
	}
	m.spend(len(text))
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	size := patternSize(parsed)
	if size > maxPatternSize {
		return nil, fmt.Errorf("as large as %d instructions, at most %d are allowed; repeat less in {…}", size, maxPatternSize)
	}
	m.spend(size)
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{Regexp: compiled, meter: m, size: size}, nil
}

// patternSize is how many instructions an expression becomes, or a few more.
func patternSize(re *syntax.Regexp) int {
	size := 1 + len(re.Rune)/2 // a literal is an instruction for each character
	if re.Op == syntax.OpLiteral {
		size = 1 + len(re.Rune)
	}
	for _, sub := range re.Sub {
		size += patternSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, 1<<20) // of each, so that sums do not overflow
}

// MatchString implements jsonschema.Regexp.
func (p *pattern) MatchString(text string) bool {
	if steps := 1 + len(text)*p.size/instructionsPerStep; steps <= wholeSteps {
		p.meter.spend(steps)
		return p.Regexp.MatchString(text)
	}
	return p.MatchReader(&meteredRunes{text: text, pattern: p})
}

// meteredRunes reads a text and counts what it costs to match each character.
type meteredRunes struct {
	text    string
	pattern *pattern
	tried   int // instructions that are not counted yet
}

// ReadRune implements io.RuneReader.
func (r *meteredRunes) ReadRune() (c rune, size int, err error) {
	if r.text == "" {
		return 0, 0, io.EOF
	}
	c, size = utf8.DecodeRuneInString(r.text)
	r.text = r.text[size:]
	if r.tried += r.pattern.size; r.tried >= instructionsPerStep {
		r.pattern.meter.spend(r.tried / instructionsPerStep)
		r.tried %= instructionsPerStep
	}
	return c, size, nil
}
