// SPDX-License-Identifier: Apache-2.0

package onepass

import (
	"context"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// Wrap lets Watch take over watches of clients that are made from config after it.
func Wrap(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return watchTransport{next} })
}

// Watch opens a watch and reads its events in one pass, into copies of example,
// which is empty. They are as client-go would give them, but for
// metadata.managedFields, which stay empty. open makes the request, with the
// context that it is given. A watch that cannot be taken over is returned as open
// returned it.
func Watch(ctx context.Context, example runtime.Object, open func(context.Context) (watch.Interface, error)) (watch.Interface, error) {
	var taken body
	opened, err := open(context.WithValue(ctx, bodyKey{}, &taken))
	if err != nil || taken.ReadCloser == nil {
		return opened, err
	}
	opened.Stop() // it has nothing left to read
	reporter := apierrors.NewClientErrorReporter(http.StatusInternalServerError, http.MethodGet, "ClientWatchDecoding")
	return watch.NewStreamWatcher(newWatchDecoder(taken, example), reporter), nil
}

// body is that of an answer that was taken over; it holds nothing until then.
type body struct{ io.ReadCloser }

type bodyKey struct{}

// watchTransport takes the bodies of the answers to those who asked for it.
type watchTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t watchTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	taken, ok := request.Context().Value(bodyKey{}).(*body)
	if err != nil || !ok || response.StatusCode != http.StatusOK || !isJSON(response.Header) {
		return response, err
	}
	taken.ReadCloser, response.Body = response.Body, http.NoBody
	return response, nil
}

// WrappedRoundTripper implements net.RoundTripperWrapper of apimachinery.
func (t watchTransport) WrappedRoundTripper() http.RoundTripper { return t.next }

func isJSON(header http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && mediaType == runtime.ContentTypeJSON
}
