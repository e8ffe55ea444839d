// SPDX-License-Identifier: Apache-2.0

package tracing

import (
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// IsTraceParent accepts the four fields of version 00 of the header traceparent
// (W3C Trace Context, section 3.2), also from a later version, and nothing else:
// what passes can be sent on in a header.
func IsTraceParent(text string) bool {
	const shape = "00-00000000000000000000000000000000-0000000000000000-00"
	if len(text) != len(shape) || text[:2] == "ff" {
		return false
	}
	for i := range len(text) {
		isDash := shape[i] == '-'
		if isDash != (text[i] == '-') || !isDash && !strings.ContainsRune("0123456789abcdef", rune(text[i])) {
			return false
		}
	}
	return strings.Trim(text[3:35], "0") != "" && strings.Trim(text[36:52], "0") != ""
}

// parseTraceParent returns the context that a traceparent names; the zero one if it names
// none.
func parseTraceParent(text string) trace.SpanContext {
	if !IsTraceParent(text) {
		return trace.SpanContext{}
	}
	// They cannot fail: the text has been checked.
	id, _ := trace.TraceIDFromHex(text[3:35])
	span, _ := trace.SpanIDFromHex(text[36:52])
	flags := trace.TraceFlags(0)
	if strings.ContainsRune("13579bdf", rune(text[54])) {
		flags = trace.FlagsSampled
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: flags, Remote: true})
}

// formatTraceParent is the traceparent of a span.
func formatTraceParent(of trace.SpanContext) string {
	return fmt.Sprintf("00-%s-%s-%s", of.TraceID(), of.SpanID(), of.TraceFlags()&trace.FlagsSampled)
}
