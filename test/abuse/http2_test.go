// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Attacks are what HTTP/2 adds to what a client can do.
func http2Attacks() []attack {
	return []attack{
		{name: "frames that belong to no request", arrange: (*scene).powerless, act: floodFrames, after: (*scene).gotFloods, cores: 1.25},
		{name: "windows that stay closed", arrange: arrangePages, act: openNoWindow, after: (*scene).gotConnections, cores: 1},
	}
}

// frames is a connection over HTTP/2 that writes by hand.
type frames struct {
	*http2.Framer

	conn    *tls.Conn
	out     *bufio.Writer
	encoder *hpack.Encoder
	block   bytes.Buffer
	stream  uint32 // the last one
}

// dialHTTP2 connects and says what a client says first.
func (a *attacker) dialHTTP2(settings ...http2.Setting) (*frames, error) {
	config := attackerTLSConfig(a.GatewayCA)
	config.NextProtos = []string{http2.NextProtoTLS}
	conn, err := (&tls.Dialer{Config: config}).DialContext(a, "tcp", a.Host)
	if err != nil {
		return nil, err
	}
	f := &frames{conn: conn.(*tls.Conn), out: bufio.NewWriterSize(conn, 32<<10)}
	f.Framer = http2.NewFramer(f.out, conn)
	f.AllowIllegalWrites = true
	f.encoder = hpack.NewEncoder(&f.block)
	_, err = f.out.WriteString(http2.ClientPreface)
	if err == nil {
		err = f.WriteSettings(settings...)
	}
	return f, err
}

// request begins a stream.
func (f *frames) request(method, path, host, token string, end bool) error {
	f.block.Reset()
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: host}, {Name: ":path", Value: path},
		{Name: "authorization", Value: "Bearer " + token},
	} {
		if err := f.encoder.WriteField(field); err != nil {
			return err
		}
	}
	f.next()
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: f.block.Bytes(), EndStream: end, EndHeaders: true})
}

func (f *frames) next() {
	if f.stream == 0 {
		f.stream = 1
		return
	}
	f.stream += 2
}

// frameFlood is a client that sends one thing without end.
type frameFlood struct {
	name string
	// reads what comes, as a client that is not stopped by answers it does not take.
	reads bool
	// begin is sent once, each again and again.
	begin, each func(f *frames, a *attacker) error
}

func nothing(*frames, *attacker) error { return nil }

func frameFloods() []frameFlood {
	ping := func(ack bool) func(*frames, *attacker) error {
		return func(f *frames, _ *attacker) error { return f.WritePing(ack, [8]byte{}) }
	}
	open := func(f *frames, a *attacker) error {
		return f.request("POST", "/v1/events", a.Host, a.Tokens["powerless-0"], false)
	}
	return []frameFlood{
		{"rapid resets", true, nothing, func(f *frames, a *attacker) error {
			if err := f.request("GET", "/v1/webhooks", a.Host, a.Tokens["powerless-0"], true); err != nil {
				return err
			}
			return f.WriteRSTStream(f.stream, http2.ErrCodeCancel)
		}},
		{"resets by the server", true, nothing, func(f *frames, a *attacker) error {
			if err := f.request("GET", "/v1/webhooks", a.Host, a.Tokens["powerless-0"], true); err != nil {
				return err
			}
			return f.WriteWindowUpdate(f.stream, 0) // an error of the stream
		}},
		{"continuations", true, func(f *frames, _ *attacker) error {
			f.next()
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: []byte{0x82}})
		}, func(f *frames, _ *attacker) error {
			f.block.Reset()
			_ = f.encoder.WriteField(hpack.HeaderField{Name: "x-large", Value: strings.Repeat("x", 1000), Sensitive: true})
			return f.WriteContinuation(f.stream, false, f.block.Bytes())
		}},
		{"empty continuations", true, func(f *frames, _ *attacker) error {
			f.next()
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream, BlockFragment: []byte{0x82}})
		}, func(f *frames, _ *attacker) error { return f.WriteContinuation(f.stream, false, nil) }},
		{"pings", false, nothing, ping(false)},
		{"pings that are answered", true, nothing, ping(false)},
		{"answers to pings", true, nothing, ping(true)},
		{"settings", false, nothing, func(f *frames, _ *attacker) error { return f.WriteSettings() }},
		{"settings that are answered", true, nothing, func(f *frames, _ *attacker) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		}},
		{"empty data", true, open, func(f *frames, _ *attacker) error { return f.WriteData(f.stream, false, nil) }},
		{"priorities", true, nothing, func(f *frames, _ *attacker) error {
			f.next()
			return f.WritePriority(f.stream, http2.PriorityParam{StreamDep: 1, Weight: 1})
		}},
		{"window updates", true, nothing, func(f *frames, _ *attacker) error { return f.WriteWindowUpdate(0, 1) }},
		{"unknown frames", true, nothing, func(f *frames, _ *attacker) error { return f.WriteRawFrame(0xee, 0, 0, []byte("x")) }},
	}
}

// floodFrames sends each flood over some connections, again and again.
func floodFrames(a *attacker) {
	each := 3
	if a.Full {
		each = 10
	}
	var all sync.WaitGroup
	for _, flood := range frameFloods() {
		for range each {
			all.Go(func() {
				for a.Err() == nil {
					a.flood(flood)
				}
			})
		}
	}
	all.Wait()
}

// leastFrames is how many make a flood: fewer may have failed in this process.
const leastFrames = 10

// flood sends one until the connection ends.
func (a *attacker) flood(flood frameFlood) {
	f, err := a.dialHTTP2()
	if err != nil {
		a.wait(50 * time.Millisecond)
		return
	}
	defer a.closeAtEnd(f.conn)()
	began, sent := time.Now(), 0
	if flood.reads {
		go func() { _, _ = io.Copy(io.Discard, f.conn) }()
	}
	err = flood.begin(f, a)
	for err == nil && a.Err() == nil {
		if err = flood.each(f, a); err == nil {
			sent++
		}
	}
	if sent >= leastFrames {
		a.note(flood.name, "", time.Since(began))
	}
}

func (s *scene) gotFloods(found attackReport) {
	s.figure("connections, by what they sent: %v", found.Answers)
	for _, flood := range frameFloods() {
		if found.Answers[flood.name] == 0 {
			s.Errorf("no connection sent %s", flood.name)
		}
	}
}

// openNoWindow asks for large answers on as many streams as there may be, and takes
// no byte of them.
func openNoWindow(a *attacker) {
	many := 100
	if a.Full {
		many = 1000
	}
	const streams = 100 // on each
	paths := []string{
		"/openapi.json", "/v1/event-types", "/v1/webhooks", "/dashboard/ns/" + a.Namespace + "/", "/dashboard/ns/" + a.Namespace + "/live",
	}
	paths = append(paths, a.largePages()...)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			for a.Err() == nil {
				a.holdStreams(streams, paths, i)
			}
		})
	}
	all.Wait()
}

// holdStreams opens streams on one connection and holds them until it ends.
func (a *attacker) holdStreams(streams int, paths []string, from int) {
	f, err := a.dialHTTP2(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	if err != nil {
		a.wait(50 * time.Millisecond)
		return
	}
	a.note("connected", "", 0)
	defer a.closeAtEnd(f.conn)()
	for i := range streams {
		if f.request("GET", paths[(from+i)%len(paths)], a.Host, a.Tokens["viewer"], true) != nil {
			return
		}
	}
	if f.out.Flush() != nil {
		return
	}
	for { // what is said beside the answers: settings, pings
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
			_ = f.WritePing(true, ping.Data)
			_ = f.out.Flush()
		}
	}
}

// largePages are of the largest deliveries.
func (a *attacker) largePages() (paths []string) {
	for _, id := range a.deliveryIDs(a.Tokens["viewer"], largeDeliveries) {
		paths = append(paths, "/dashboard/ns/"+a.Namespace+"/deliveries/"+id, "/v1/deliveries/"+id)
	}
	return paths
}
