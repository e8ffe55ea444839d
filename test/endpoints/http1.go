// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// HTTP1Exchange is a connection over HTTP/1.1 on which a request is expected.
type HTTP1Exchange struct {
	net.Conn
	// Number is that of the exchange on its connection, from 1.
	Number int

	endpoint *Endpoint
	reader   *bufio.Reader
}

// Read reads a whole request; false if none came.
func (x *HTTP1Exchange) Read() bool {
	request, err := http.ReadRequest(x.reader)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return false
	}
	x.endpoint.count(request.Header.Get(deliveryHeader))
	return true
}

// ReadHead reads the head of a request; false if none came.
func (x *HTTP1Exchange) ReadHead() bool {
	_, err := http.ReadRequest(x.reader)
	return err == nil
}

// Say writes text as it is.
func (x *HTTP1Exchange) Say(text string) { _, _ = io.WriteString(x.Conn, text) }

// Reset makes the end of the connection a reset.
func (x *HTTP1Exchange) Reset() { resetEndpointConn(x.Conn) }

// StartHTTP1 starts an endpoint that serve answers for, by hand: it is called for
// each exchange on a connection until it returns false, when the connection is
// closed.
func StartHTTP1(secure bool, serve func(*HTTP1Exchange) (more bool)) (*Endpoint, error) {
	var protocols []string
	if secure {
		protocols = []string{"http/1.1"}
	}
	return startEndpoint(protocols, serveHTTP1(serve))
}

func serveHTTP1(serve func(*HTTP1Exchange) bool) func(*Endpoint, net.Conn) {
	return func(e *Endpoint, conn net.Conn) {
		reader := bufio.NewReader(conn)
		for number := 1; serve(&HTTP1Exchange{Conn: conn, Number: number, endpoint: e, reader: reader}); {
			number++
		}
	}
}

// serveHTTP1Once makes what serves one exchange on each connection.
func serveHTTP1Once(serve func(*HTTP1Exchange)) func(*HTTP1Exchange) bool {
	return func(x *HTTP1Exchange) bool {
		serve(x)
		return false
	}
}

// StartHTTP1IdleCloser starts an endpoint over HTTP/1.1 that closes a connection which
// has been idle for so long after an answer, without announcing it.
func StartHTTP1IdleCloser(secure bool, idle time.Duration) (*Endpoint, error) {
	return StartHTTP1(secure, func(x *HTTP1Exchange) bool {
		if x.Number > 1 {
			_ = x.SetReadDeadline(time.Now().Add(idle))
		}
		if !x.Read() {
			return false
		}
		x.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		return true
	})
}

// StartHTTP1Closer starts an endpoint over HTTP/1.1 that answers a request and closes the
// connection at once, without announcing it.
func StartHTTP1Closer(secure bool) (*Endpoint, error) {
	return StartHTTP1(secure, serveHTTP1Once(func(x *HTTP1Exchange) {
		if x.Read() {
			x.Say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
}
