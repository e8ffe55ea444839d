// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// An endpoint that keeps sending what is no answer is cut off, also after it has
// answered.
func TestFloodsOfFramesEnd(t *testing.T) {
	t.Parallel()
	long := []byte(strings.Repeat("x", 8<<10))
	for name, flood := range map[string]func(framer *http2.Framer, stream uint32) error{
		"PING":                     func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{}) },
		"SETTINGS":                 func(f *http2.Framer, _ uint32) error { return f.WriteSettings() },
		"WINDOW_UPDATE":            func(f *http2.Framer, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
		"PRIORITY":                 func(f *http2.Framer, s uint32) error { return f.WritePriority(s, http2.PriorityParam{}) },
		"unknown frames":           func(f *http2.Framer, _ uint32) error { return f.WriteRawFrame(0xee, 0, 0, nil) },
		"RST_STREAM":               func(f *http2.Framer, s uint32) error { return f.WriteRSTStream(s, http2.ErrCodeNo) },
		"empty DATA":               func(f *http2.Framer, s uint32) error { return f.WriteData(s, false, nil) },
		"DATA":                     func(f *http2.Framer, s uint32) error { return f.WriteData(s, false, long) },
		"1 byte of DATA at a time": func(f *http2.Framer, s uint32) error { return f.WriteData(s, false, long[:1]) },
	} {
		for _, answered := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " after the answer"}[answered], func(t *testing.T) {
				t.Parallel()
				var sent atomic.Int64
				ended := make(chan struct{}, 16)
				endpoint := started[*endpoints.Endpoint](t)(endpoints.StartHTTP2(func(s *endpoints.HTTP2Stream) {
					if answered {
						s.Head(204, true)
					}
					go func() {
						for err := error(nil); err == nil; {
							s.Write(func(framer *http2.Framer) { err = flood(framer, s.ID) })
							if err == nil {
								sent.Add(1)
							}
						}
						ended <- struct{}{}
					}()
				}))
				request := attemptAt(endpoint.URL())
				request.Timeout = 3 * time.Second
				got := newSender(t, endpoint.Pool(), nil).Send(t.Context(), request)
				if got.Succeeded() != answered {
					t.Errorf("%+v", got)
				}
				select {
				case <-ended:
				case <-time.After(8 * time.Second):
					t.Errorf("%d frames, and it goes on", sent.Load())
				}
			})
		}
	}
}
