// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// StartWithoutIntermediate starts an endpoint whose certificate is signed by an
// intermediate authority, whose own certificate it does not send.
func StartWithoutIntermediate() (*Endpoint, error) {
	root, err := receiver.NewAuthority()
	if err != nil {
		return nil, err
	}
	intermediate, err := root.Intermediate()
	if err != nil {
		return nil, err
	}
	certificate, err := intermediate.Issue(time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		return nil, err
	}
	return startTLSEndpoint(root, &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}, serveHTTP1(answerTLSOK))
}

// StartSelfSigned starts an endpoint whose certificate is signed by itself.
func StartSelfSigned() (*Endpoint, error) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		return nil, err
	}
	return startTLSEndpoint(nil, &tls.Config{Certificates: []tls.Certificate{authority.Own()}, MinVersion: tls.VersionTLS12}, serveHTTP1(answerTLSOK))
}

// StartRSAOnly starts an endpoint that agrees on keys by RSA and in no other way.
func StartRSAOnly() (*Endpoint, error) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	certificate, err := authority.IssueFor(key, time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		return nil, err
	}
	return startTLSEndpoint(authority, &tls.Config{
		Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, //nolint:gosec // G402: that is what it is for
	}, serveHTTP1(answerTLSOK))
}

// StartClientCertificate starts an endpoint that wants a client certificate, and the
// version of TLS at which it says so.
func StartClientCertificate(version uint16) (*Endpoint, error) {
	authority, config, err := tlsServerConfig([]string{"http/1.1"})
	if err != nil {
		return nil, err
	}
	config.ClientAuth, config.MaxVersion = tls.RequireAnyClientCert, version
	return startTLSEndpoint(authority, config, serveHTTP1(answerTLSOK))
}

// packetRoom is what of TLS fits into one packet.
const packetRoom = 1400

// StartBehindFirewall starts an endpoint behind a firewall that wants the first
// message of TLS in one packet. It drops what is larger, or resets the connection.
func StartBehindFirewall(resets bool) (*Endpoint, error) {
	authority, config, err := tlsServerConfig([]string{"http/1.1"})
	if err != nil {
		return nil, err
	}
	serve := serveHTTP1(answerTLSOK)
	e, err := startEndpoint(nil, func(e *Endpoint, conn net.Conn) {
		var head [5]byte // type, version, length (RFC 8446, section 5.1)
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		if int(binary.BigEndian.Uint16(head[3:]))+len(head) > packetRoom {
			if resets {
				resetEndpointConn(conn)
				return
			}
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		secure := tls.Server(&replayedTLSConn{conn, io.MultiReader(bytes.NewReader(head[:]), conn)}, config)
		serve(e, secure)
	})
	if err == nil {
		e.scheme, e.ca = "https", authority
	}
	return e, err
}

// replayedTLSConn is a connection whose beginning was read already.
type replayedTLSConn struct {
	net.Conn
	reader io.Reader
}

// Read implements net.Conn.
func (r *replayedTLSConn) Read(b []byte) (int, error) { return r.reader.Read(b) }

func answerTLSOK(x *HTTP1Exchange) bool {
	if !x.Read() {
		return false
	}
	x.Say("HTTP/1.1 204 No Content\r\n\r\n")
	return true
}

// startTLSEndpoint is the same over TLS as it is configured, unless config is nil.
func startTLSEndpoint(authority *receiver.Authority, config *tls.Config, serve func(*Endpoint, net.Conn)) (*Endpoint, error) {
	listener, err := net.Listen("tcp4", net.JoinHostPort(endpointListenHost(), "0"))
	if err != nil {
		return nil, err
	}
	e := &Endpoint{listener: listener, scheme: "http", ca: authority, open: map[net.Conn]struct{}{}, deliveries: Deliveries{}}
	if config != nil {
		e.scheme = "https"
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.connections.Add(1)
			if config != nil {
				conn = tls.Server(conn, config)
			}
			if !e.track(conn) {
				return
			}
			go func() {
				defer e.untrack(conn)
				serve(e, conn)
			}()
		}
	}()
	return e, nil
}

func tlsServerConfig(protocols []string) (*receiver.Authority, *tls.Config, error) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		return nil, nil, err
	}
	hosts := []string{"127.0.0.1", "localhost", "endpoint.example"}
	for n := range farAddresses {
		hosts = append(hosts, farAddress(n))
	}
	certificate, err := authority.Issue(time.Now().Add(time.Hour), hosts...)
	if err != nil {
		return nil, nil, err
	}
	return authority, &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: protocols, MinVersion: tls.VersionTLS12}, nil
}
