// SPDX-License-Identifier: Apache-2.0

package onepass

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

var codecs = func() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	return serializer.NewCodecFactory(scheme)
}()

// clientGo decodes as client-go does by itself.
func clientGo(body io.ReadCloser) watch.Decoder {
	factory := serializer.WithoutConversionCodecFactory{CodecFactory: codecs}
	info, _ := runtime.SerializerInfoForMediaType(factory.SupportedMediaTypes(), runtime.ContentTypeJSON)
	frames := info.StreamSerializer.Framer.NewFrameReader(body)
	return restwatch.NewDecoder(streaming.NewDecoder(frames, info.StreamSerializer.Serializer), factory.DecoderToVersion(info.Serializer, v1alpha1.GroupVersion))
}

func frame(t testing.TB, event watch.EventType, object any) []byte {
	t.Helper()
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(metav1.WatchEvent{Type: string(event), Object: runtime.RawExtension{Raw: raw}})
	if err != nil {
		t.Fatal(err)
	}
	return append(line, '\n')
}

func bodyOf(text []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(text)) }

// TestDecodesAsClientGo reads the same events both ways, with everything in them
// that our types can hold.
func TestDecodesAsClientGo(t *testing.T) {
	const each = 200
	for kind, example := range map[string]client.Object{
		"WebhookDelivery": &v1alpha1.WebhookDelivery{}, "Webhook": &v1alpha1.Webhook{}, "EventType": &v1alpha1.EventType{},
	} {
		t.Run(kind, func(t *testing.T) {
			filler := randfill.NewWithSeed(7).NilChance(0.3).NumElements(0, 4).Funcs(metafuzzer.Funcs(codecs)...)
			var stream []byte
			for i := range each {
				object := example.DeepCopyObject().(client.Object)
				filler.Fill(object)
				object.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
				object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "m", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:x":{"]}":"\""}}`)}})
				if delivery, ok := object.(*v1alpha1.WebhookDelivery); ok {
					delivery.Spec.Payload = "{\"a\":\"\\u00e9 <&> \x80 \u2028\"}" + strings.Repeat("x", i*100)
				}
				stream = append(stream, frame(t, []watch.EventType{watch.Added, watch.Modified, watch.Deleted, watch.Bookmark}[i%4], object)...)
			}
			theirs, ours := clientGo(bodyOf(stream)), newWatchDecoder(bodyOf(stream), example)
			for i := range each {
				wantType, want, err := theirs.Decode()
				if err != nil {
					t.Fatal(err)
				}
				gotType, got, err := ours.Decode()
				if err != nil {
					t.Fatal(err)
				}
				want.(client.Object).SetManagedFields(nil)
				if gotType != wantType || !reflect.DeepEqual(got, want) {
					t.Fatalf("event %d: got %s %+v, want %s %+v", i, gotType, got, wantType, want)
				}
			}
			if _, _, err := ours.Decode(); err != io.EOF { //nolint:errorlint // whoever calls compares
				t.Errorf("after the last event: %v, want EOF", err)
			}
		})
	}
}

// TestEveryObjectIsNew: what is kept of one event is not changed by the next.
func TestEveryObjectIsNew(t *testing.T) {
	one, two := &v1alpha1.WebhookDelivery{}, &v1alpha1.WebhookDelivery{}
	one.Name, one.Labels, two.Name = "one", map[string]string{"a": "b"}, "two"
	d := newWatchDecoder(bodyOf(append(frame(t, watch.Added, one), frame(t, watch.Added, two)...)), &v1alpha1.WebhookDelivery{})
	_, first, err := d.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if _, second, err := d.Decode(); err != nil || !reflect.DeepEqual(second, runtime.Object(two)) {
		t.Errorf("second: %+v, %v, want %+v", second, err, two)
	}
	if !reflect.DeepEqual(first, runtime.Object(one)) {
		t.Errorf("first is now %+v, was %+v", first, one)
	}
}

func TestDecodesErrors(t *testing.T) {
	gone := &metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old"}
	event, object, err := newWatchDecoder(bodyOf(frame(t, watch.Error, gone)), &v1alpha1.WebhookDelivery{}).Decode()
	if err != nil || event != watch.Error || !reflect.DeepEqual(object, runtime.Object(gone)) {
		t.Errorf("got %s %+v, %v, want ERROR %+v", event, object, err, gone)
	}
}

func TestEnds(t *testing.T) {
	whole := frame(t, watch.Added, &v1alpha1.WebhookDelivery{})
	broken := errors.New("connection reset by peer")
	for name, c := range map[string]struct {
		body io.Reader
		want error
	}{
		"before an event":       {strings.NewReader(""), io.EOF},
		"after an event's line": {strings.NewReader("\n"), io.EOF},
		"within an event":       {bytes.NewReader(whole[:len(whole)/2]), io.ErrUnexpectedEOF},
		"within its type":       {bytes.NewReader(whole[:10]), io.ErrUnexpectedEOF},
		"broken within one":     {io.MultiReader(bytes.NewReader(whole[:20]), iotest.ErrReader(broken)), broken},
		"broken between two":    {iotest.ErrReader(broken), broken},
		"cut by the transport":  {io.MultiReader(bytes.NewReader(whole[:20]), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := newWatchDecoder(io.NopCloser(c.body), &v1alpha1.WebhookDelivery{}).Decode(); err != c.want { //nolint:errorlint // whoever calls compares
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestCloseIsNoError: reading a body that was closed is one, by itself.
func TestCloseIsNoError(t *testing.T) {
	d := newWatchDecoder(io.NopCloser(iotest.ErrReader(errors.New("read on closed response body"))), &v1alpha1.WebhookDelivery{})
	d.Close()
	if _, _, err := d.Decode(); err != io.EOF { //nolint:errorlint // whoever calls compares
		t.Errorf("got %v, want EOF", err)
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"what is no event":            {`[]`, "where { was expected"},
		"an unknown type":             {`{"type":"RENAMED","object":{}}`, `unknown type "RENAMED"`},
		"an event without an object":  {`{"type":"ADDED"}`, "without an object"},
		"an object of another shape":  {`{"type":"ADDED","object":{"spec":[]}}`, "/object/spec"},
		"what is no JSON":             {`{"type":"ADDED","object":{]}}`, "invalid"},
		"an event that does not fit":  {`{"type":["ADDED"]}`, "type"},
		"an object that is no object": {`{"type":"ADDED","object":7}`, "object"},
	} {
		t.Run(name, func(t *testing.T) {
			_, object, err := newWatchDecoder(bodyOf([]byte(c.text)), &v1alpha1.WebhookDelivery{}).Decode()
			if err == nil || !strings.Contains(err.Error(), c.want) || object != nil {
				t.Errorf("got %v, %v, want an error with %q", object, err, c.want)
			}
		})
	}
	if _, _, err := newWatchDecoder(bodyOf([]byte(`{"more":{"a":[1]},"type":"ADDED","object":{}}`)), &v1alpha1.WebhookDelivery{}).Decode(); err != nil {
		t.Errorf("a member that we do not know: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(frame(f, watch.Added, &v1alpha1.WebhookDelivery{}))
	f.Add([]byte(`{"object":null,"type":"ERROR"}{"type":"BOOKMARK","object":{"metadata":{"annotations":null,"managedFields":[{}]}}}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		d := newWatchDecoder(bodyOf(text), &v1alpha1.WebhookDelivery{})
		for {
			if _, _, err := d.Decode(); err != nil {
				return
			}
		}
	})
}

// example is a delivery of 1 KiB, as the API server sends it.
func example() *v1alpha1.WebhookDelivery {
	delivery := &v1alpha1.WebhookDelivery{}
	delivery.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookDelivery"))
	delivery.Name, delivery.Namespace, delivery.UID = "orders-n4bqgyhmfwwal7qlf7xe6cbfxmk3irgc", "team", "0b6a5f6e-9e6c-4a8f-8b2e-0a5d1c3f2b1a"
	delivery.Spec.Payload = `{"event":"context.created","data":{"text":"` + strings.Repeat("abcd ", 200) + `"}}`
	owned := metav1.NewFieldsV1(`{"f:spec":{` + strings.Repeat(`"f:some":{},`, 60) + `".":{}}}`)
	delivery.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "bbmcp", FieldsType: "FieldsV1", FieldsV1: owned}}
	return delivery
}

// BenchmarkDecode reads an event of a watch.
func BenchmarkDecode(b *testing.B) {
	line := frame(b, watch.Modified, example())
	for name, open := range map[string]func(io.ReadCloser) watch.Decoder{
		"client-go": clientGo,
		"one pass":  func(body io.ReadCloser) watch.Decoder { return newWatchDecoder(body, &v1alpha1.WebhookDelivery{}) },
	} {
		b.Run(name, func(b *testing.B) {
			d := open(io.NopCloser(&again{line: line}))
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				if _, _, err := d.Decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// again is a line without an end.
type again struct{ line, left []byte }

func (a *again) Read(p []byte) (int, error) {
	if len(a.left) == 0 {
		a.left = a.line
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}
