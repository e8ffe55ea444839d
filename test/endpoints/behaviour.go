// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// Behaviour is how an endpoint answers, and what a sender should make of it.
type Behaviour struct {
	Name string
	// Status is what the endpoint has answered, for whoever reads it with care: 2xx
	// is success, whatever is wrong with the rest.
	Status int
	// Requests is how many requests one attempt costs: two where the endpoint says
	// that it has not processed the first.
	Requests int

	start func() (*Endpoint, error)
}

// Start starts an endpoint that behaves so.
func (b Behaviour) Start() (*Endpoint, error) { return b.start() }

// Behaviours are all that end with an answer.
func Behaviours() []Behaviour {
	var all []Behaviour
	for name, answer := range map[string]string{
		"200 with a Content-Length that is too large":         "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
		"200 with a Content-Length that is too small":         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok and more",
		"200 with an empty Content-Length":                    "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
		"200 with a Content-Length that is no number":         "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
		"200 with a negative Content-Length":                  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
		"200 with a huge Content-Length":                      "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
		"200 with two Content-Lengths":                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
		"200 with the same Content-Length twice":              "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"200 with a list of Content-Lengths":                  "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
		"200 in chunks without their end":                     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
		"200 in chunks that are none":                         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok",
		"200 in chunks with half a trailer":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer",
		"200 with Transfer-Encoding twice":                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"200 with a Transfer-Encoding that nobody knows":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"200 with Transfer-Encoding and Content-Length":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"200 with a body that ends with the connection":       "HTTP/1.1 200 OK\r\n\r\nok",
		"200 of HTTP/1.0":                                     "HTTP/1.0 200 OK\r\n\r\nok",
		"200 without a phrase":                                "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
		"200 with bare line feeds":                            "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"200 with a header that goes on in the next line":     "HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
		"204 with a body":                                     "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"200 after 100 and 103":                               "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"500 with a Content-Length that is too large":         "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100\r\n\r\nno",
		"400 with an empty Content-Length":                    "HTTP/1.1 400 Bad Request\r\nContent-Length: \r\n\r\nno",
		"429 in chunks without their end":                     "HTTP/1.1 429 Too Many Requests\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n",
		"308 with Location":                                   "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://www.example.com/hook\r\nContent-Length: 0\r\n\r\n",
		"200 with a reset after the head":                     "reset:HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok",
		"200 with a body that never ends":                     "drip:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"200 with a body of two MiB":                          "HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n" + strings.Repeat("x", 2<<20),
		"200 with a large body that ends with the connection": "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2<<20),
	} {
		all = append(all, http1Behaviours(name, answer)...)
	}
	for _, status := range []int{200, 401, 410, 429, 503} {
		all = append(append(all, EarlyAnswers(status)...), RashAnswers(status)...)
	}
	return append(all, http2Behaviours()...)
}

// behaviourStatus reads the final status of an answer.
func behaviourStatus(answer string) int {
	at := strings.LastIndex(answer[:min(len(answer), 200)], "HTTP/1.")
	status, _ := strconv.Atoi(answer[at+len("HTTP/1.1 ") : at+len("HTTP/1.1 200")])
	return status
}

// dripEvery is how long an endless body waits with its next byte.
const dripEvery = 50 * time.Millisecond

// http1Behaviours answers a request with text as it is, and closes the connection.
func http1Behaviours(name, answer string) []Behaviour {
	resets, drips := strings.HasPrefix(answer, "reset:"), strings.HasPrefix(answer, "drip:")
	answer = strings.TrimPrefix(strings.TrimPrefix(answer, "reset:"), "drip:")
	serve := serveHTTP1Once(func(x *HTTP1Exchange) {
		if !x.Read() {
			return
		}
		x.Say(answer)
		switch {
		case drips:
			tick := time.NewTicker(dripEvery)
			defer tick.Stop()
			for range tick.C {
				if _, err := x.Write([]byte("1\r\n.\r\n")); err != nil {
					return
				}
			}
		case resets: // on loopback what was written has arrived
			x.Reset()
		}
	})
	return bothBehaviours(name, behaviourStatus(answer), 1, serve)
}

// bothBehaviours is the same with and without TLS.
func bothBehaviours(name string, status, requests int, serve func(*HTTP1Exchange) bool) []Behaviour {
	return []Behaviour{
		{"http: " + name, status, requests, func() (*Endpoint, error) { return StartHTTP1(false, serve) }},
		{"https: " + name, status, requests, func() (*Endpoint, error) { return StartHTTP1(true, serve) }},
	}
}

// EarlyAnswers are those of endpoints that answer once they have read the head of a
// request, and close the connection. The whole requests that they read are none.
func EarlyAnswers(status int) []Behaviour {
	return bothBehaviours(strconv.Itoa(status)+" and the end before the body is read", status, 0, serveHTTP1Once(func(x *HTTP1Exchange) {
		if x.ReadHead() {
			x.Say(behaviourAnswer(status))
		}
	}))
}

// RashAnswers are those of endpoints that answer as soon as they are connected to.
func RashAnswers(status int) []Behaviour {
	return bothBehaviours(strconv.Itoa(status)+" and the end before anything is read", status, 0, serveHTTP1Once(func(x *HTTP1Exchange) { x.Say(behaviourAnswer(status)) }))
}

func behaviourAnswer(status int) string {
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

// http2Behaviours are those that only HTTP/2 has.
func http2Behaviours() []Behaviour {
	first := func(away func(*HTTP2Stream)) func() (*Endpoint, error) {
		return func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) {
				if s.Request == 1 {
					away(s)
					return
				}
				s.Head(http.StatusNoContent, true)
			})
		}
	}
	return []Behaviour{
		{"h2: GOAWAY that leaves the request out", 204, 2, first(func(s *HTTP2Stream) { s.GoAway(s.Before(), http2.ErrCodeNo) })},
		{"h2: GOAWAY that leaves the request out, and the end", 204, 2, first(func(s *HTTP2Stream) {
			s.GoAway(s.Before(), http2.ErrCodeNo)
			s.Close()
		})},
		{"h2: GOAWAY with ENHANCE_YOUR_CALM", 204, 2, first(func(s *HTTP2Stream) { s.GoAway(s.Before(), http2.ErrCodeEnhanceYourCalm) })},
		{"h2: REFUSED_STREAM", 204, 2, first(func(s *HTTP2Stream) { s.End(http2.ErrCodeRefusedStream) })},
		{"h2: HTTP_1_1_REQUIRED", 204, 2, StartHTTP11Required},
		{"h2: 200 and CANCEL after the head", 200, 1, func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) {
				s.Head(http.StatusOK, false)
				s.End(http2.ErrCodeCancel)
			})
		}},
		{"h2: 200 and the end of the connection after the head", 200, 1, func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) {
				s.Head(http.StatusOK, false)
				s.Close()
			})
		}},
		{"h2: 200 and a body that never comes", 200, 1, func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) { s.Head(http.StatusOK, false) })
		}},
		{"h2: 200, GOAWAY and the end", 200, 1, func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) {
				s.Head(http.StatusOK, true)
				s.GoAway(s.ID, http2.ErrCodeNo)
				s.Close()
			})
		}},
		{"h2: 200 and NO_ERROR", 200, 1, func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) {
				s.Head(http.StatusOK, true)
				s.End(http2.ErrCodeNo)
			})
		}},
		{"h2: 410 and CANCEL after the head", 410, 1, func() (*Endpoint, error) {
			return StartHTTP2(func(s *HTTP2Stream) {
				s.Head(http.StatusGone, false)
				s.End(http2.ErrCodeCancel)
			})
		}},
	}
}
