// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// Attributes of a CloudEvent that the gateway reads, and the data members of its JSON
// format.
const (
	attributeID          = "id"
	attributeSource      = "source"
	attributeType        = "type"
	attributeSpecVersion = "specversion"
	attributeTime        = "time"
	attributeContentType = "datacontenttype"
	attributeSubject     = "subject"
	attributeSchema      = "dataschema"
	attributeTraceParent = "traceparent"
	memberData           = "data"
	memberDataBase64     = "data_base64"
)

// attributePrefix begins the headers of a CloudEvent in binary mode.
const attributePrefix = "Ce-"

// parseCloudEvent parses a CloudEvent in the JSON format (structured mode, or an item of a
// batch). The bytes are parsed here and the attributes checked by the CloudEvents library:
// the library's own parser accepts repeated keys, stops at an empty key and does not check
// UTF-8. Errors are *payload.Error.
func parseCloudEvent(body []byte) (*publish.Event, error) {
	members, err := payload.Members(body, wholeBody)
	if err != nil {
		return nil, err
	}
	var data []byte
	attributes := map[string]any{}
	for _, member := range members {
		switch {
		case member.Name == memberData:
			data = member.Value
		case member.IsNull(): // the same as unset (JSON format, section 2.2)
		case member.Name == memberDataBase64:
			return nil, invalidAttribute(memberDataBase64, "bytes are not carried; send data as a JSON object")
		default:
			if attributes[member.Name], err = attributeValue(member); err != nil {
				return nil, err
			}
		}
	}
	return newCloudEvent(attributes, data, func(name string) string { return name })
}

// attributeValue is a string, a boolean or an integer of 32 bits (JSON format,
// section 2.2).
func attributeValue(member payload.Member) (any, error) {
	switch text := string(member.Value); {
	case text[0] == '"':
		return member.Text(reasonFieldInvalid)
	case text == "true", text == "false":
		return text == "true", nil
	default:
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, invalidAttribute(member.Field(), "must be a string, a boolean or an integer of 32 bits; move it into data")
		}
		return int32(number), nil
	}
}

// parseBinaryCloudEvent parses a CloudEvent with attributes in headers and data in the
// body. Errors are *payload.Error.
func parseBinaryCloudEvent(header http.Header, body []byte) (*publish.Event, error) {
	attributes := map[string]any{}
	for name, values := range header {
		suffix, ok := strings.CutPrefix(name, attributePrefix)
		if !ok && name != "Content-Type" {
			continue
		}
		attribute := strings.ToLower(suffix)
		if attribute == attributeContentType {
			return nil, invalidAttribute("header."+name, "is said by the header Content-Type; leave this one out")
		}
		if !ok {
			attribute = attributeContentType
		}
		if len(values) != 1 {
			return nil, invalidAttribute(attributeHeader(attribute), "is there more than once; send it once")
		}
		// Percent-encoded where a header cannot hold it (HTTP binding, section 3.1.3.2).
		text, err := url.PathUnescape(values[0])
		if err != nil {
			return nil, invalidAttribute(attributeHeader(attribute), "has a % without two hexadecimal digits behind it; write it as %25")
		}
		attributes[attribute] = text
	}
	if len(body) == 0 {
		body = nil
	}
	return newCloudEvent(attributes, body, attributeHeader)
}

// attributeHeader is the name of an attribute's header, in problems.
func attributeHeader(attribute string) string {
	if attribute == attributeContentType {
		return "header.Content-Type"
	}
	return "header." + http.CanonicalHeaderKey(attributePrefix+attribute)
}

// newCloudEvent makes an event of a CloudEvent. fieldName maps an attribute to its name in
// problems. Missing data (nil) is {}.
func newCloudEvent(attributes map[string]any, data []byte, fieldName func(string) string) (*publish.Event, error) {
	if err := checkCloudEventAttributes(attributes, fieldName); err != nil {
		return nil, err
	}
	text := func(name string) string { s, _ := attributes[name].(string); return s }
	p := &publish.Event{
		ID:   identity.CloudEventID(text(attributeSource), text(attributeID)),
		Type: text(attributeType), Data: data,
		FieldNames: map[string]string{
			"event": fieldName(attributeType), "timestamp": fieldName(attributeTime), "id": fieldName(attributeID),
		},
	}
	if data == nil {
		p.Data = []byte("{}")
	}
	if attribute, ok := attributes[attributeTime]; ok {
		parsed, err := payload.ParseTimestamp(fmt.Sprint(attribute))
		if err != nil {
			return nil, renameAttributeField(err, p.FieldNames)
		}
		p.Timestamp = &parsed
	}
	if trace := text(attributeTraceParent); tracing.IsTraceParent(trace) {
		p.TraceParent = trace
	}
	return p, renameAttributeField(payload.ValidateEventType(p.Type), p.FieldNames)
}

// checkCloudEventAttributes checks attributes against the specification, and that they can be
// delivered.
func checkCloudEventAttributes(attributes map[string]any, fieldName func(string) string) error {
	for _, name := range []string{attributeSpecVersion, attributeID, attributeSource, attributeType} {
		if _, ok := attributes[name]; !ok {
			return &payload.Error{Field: fieldName(name), Reason: payload.MissingMember, Detail: "is missing: a CloudEvent has specversion, id, source and type"}
		}
	}
	if version := attributes[attributeSpecVersion]; version != event.CloudEventsVersionV1 {
		return invalidAttribute(fieldName(attributeSpecVersion), `must be "1.0", the version of CloudEvents that is understood`)
	}
	var checked event.EventContextV1
	set := map[string]func(string) error{
		attributeID: checked.SetID, attributeSource: checked.SetSource, attributeType: checked.SetType,
		attributeSubject: checked.SetSubject, attributeSchema: checked.SetDataSchema, attributeContentType: checked.SetDataContentType,
		attributeTime: func(string) error { return nil }, attributeSpecVersion: func(string) error { return nil },
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[name]
		setter, known := set[name]
		text, isText := value.(string)
		switch {
		case known && !isText:
			return invalidAttribute(fieldName(name), "must be a string")
		case known:
			if err := setter(text); err != nil {
				return invalidAttribute(fieldName(name), attributeURLError(err))
			}
		default:
			if err := checked.SetExtension(name, value); err != nil {
				return invalidAttribute(payload.Member{Name: fieldName(name)}.Field(), err.Error())
			}
		}
	}
	for name, err := range checked.Validate() {
		return invalidAttribute(fieldName(name), err.Error())
	}
	return checkCloudEventContentType(checked.DataContentType, fieldName)
}

// checkCloudEventContentType accepts JSON only; a missing type is JSON.
func checkCloudEventContentType(contentType *string, fieldName func(string) string) error {
	if contentType == nil {
		return nil
	}
	mediaType, parameters, err := mime.ParseMediaType(*contentType)
	if err == nil && isCloudEventJSON(mediaType, parameters) {
		return nil
	}
	return invalidAttribute(fieldName(attributeContentType), "must be application/json in UTF-8: only data that is a JSON object is carried")
}

// isCloudEventJSON reports whether a media type is JSON, in UTF-8 if it says so.
func isCloudEventJSON(mediaType string, parameters map[string]string) bool {
	return (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")) &&
		strings.EqualFold(cmp.Or(parameters["charset"], "utf-8"), "utf-8")
}

// attributeURLError describes an invalid URL without repeating it.
func attributeURLError(err error) string {
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return "is no URI reference: " + wrong.Err.Error()
	}
	return err.Error()
}

func invalidAttribute(field, detail string) error {
	return &payload.Error{Field: field, Reason: reasonFieldInvalid, Detail: detail}
}

// renameAttributeField replaces the field of an error by the publisher's name for it.
func renameAttributeField(err error, fields map[string]string) error {
	found, ok := errors.AsType[*payload.Error](err)
	if !ok {
		return err
	}
	return &payload.Error{Field: cmp.Or(fields[found.Field], found.Field), Reason: found.Reason, Detail: found.Detail}
}

// hasCloudEventAttributes reports whether headers hold attributes of a CloudEvent; the specversion
// may be missing by mistake.
func hasCloudEventAttributes(header http.Header) bool {
	for _, name := range []string{attributeSpecVersion, attributeID, attributeSource, attributeType} {
		if len(header.Values(attributePrefix+name)) > 0 {
			return true
		}
	}
	return false
}
