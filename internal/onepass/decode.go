// SPDX-License-Identifier: Apache-2.0

package onepass

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// asTheAPIServer reads what encoding/json, in which the API server writes, lets
// pass, and skips what nobody here reads.
var asTheAPIServer = json.JoinOptions( //nolint:gochecknoglobals // never changed
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
	json.WithUnmarshalers(json.UnmarshalFromFunc(func(from *jsontext.Decoder, _ *[]metav1.ManagedFieldsEntry) error {
		return from.SkipValue()
	})),
)

// watchDecoder implements watch.Decoder.
type watchDecoder struct {
	body    *watchConnection
	from    *jsontext.Decoder
	example runtime.Object
}

func newWatchDecoder(body io.ReadCloser, example runtime.Object) *watchDecoder {
	c := &watchConnection{ReadCloser: body}
	return &watchDecoder{body: c, from: jsontext.NewDecoder(c, asTheAPIServer), example: example}
}

// watchConnection remembers how it broke, and that it was closed from this side.
type watchConnection struct {
	io.ReadCloser

	broken error
	closed atomic.Bool
}

// Close implements io.Closer.
func (c *watchConnection) Close() error {
	c.closed.Store(true)
	return c.ReadCloser.Close()
}

func (c *watchConnection) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.broken = err
	}
	return n, err
}

// Close implements watch.Decoder; a Decode that waits ends.
func (d *watchDecoder) Close() { _ = d.body.Close() }

// Decode implements watch.Decoder. It returns io.EOF where the watch ended,
// io.ErrUnexpectedEOF where it ended within an event, and the error of the
// connection as that says it: whoever calls compares them.
func (d *watchDecoder) Decode() (watch.EventType, runtime.Object, error) {
	event, object, err := d.event()
	switch {
	case err == nil:
	case d.body.closed.Load(): // whoever closed it wants no error
		return "", nil, io.EOF
	case d.body.broken != nil:
		return "", nil, d.body.broken
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "", nil, io.ErrUnexpectedEOF
	default:
		return "", nil, err
	}
	switch event {
	case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark, watch.Error:
	default:
		return "", nil, fmt.Errorf("watch event of unknown type %q", event)
	}
	if object == nil {
		return "", nil, fmt.Errorf("watch event %s without an object", event)
	}
	return event, object, nil
}

// event reads one event. Its type comes first; what it is an event of depends on
// that.
func (d *watchDecoder) event() (event watch.EventType, object runtime.Object, err error) {
	if err := d.expect(jsontext.KindBeginObject); err != nil {
		return "", nil, err
	}
	for d.from.PeekKind() == jsontext.KindString {
		name, err := d.from.ReadToken()
		if err != nil {
			return "", nil, err
		}
		switch name.String() {
		case "type":
			err = json.UnmarshalDecode(d.from, &event)
		case "object":
			object = d.example.DeepCopyObject()
			if event == watch.Error {
				object = &metav1.Status{}
			}
			err = json.UnmarshalDecode(d.from, object)
			object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // its type says it
		default:
			err = d.from.SkipValue()
		}
		if err != nil {
			return "", nil, err
		}
	}
	return event, object, d.expect(jsontext.KindEndObject)
}

func (d *watchDecoder) expect(kind jsontext.Kind) error {
	token, err := d.from.ReadToken()
	if err == nil && token.Kind() != kind {
		err = fmt.Errorf("watch event: %s where %s was expected", token.Kind(), kind)
	}
	return err
}
