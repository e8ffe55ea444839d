// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

func (r *Receiver) answer(w http.ResponseWriter, request *http.Request, step Step, body []byte) {
	for name, value := range step.Header {
		w.Header().Set(name, value)
	}
	switch step.Fault {
	case "", CheckSignature:
		w.WriteHeader(step.status())
		_, _ = w.Write([]byte(step.Body))
	case Hang:
		r.pause(request.Context(), 24*time.Hour)
	case EndlessBody:
		r.answerRepeatedly(w, request.Context(), step, strings.Repeat("endless ", 512), 0)
	case SlowBody:
		every := step.Every
		if every == 0 {
			every = 100 * time.Millisecond
		}
		r.answerRepeatedly(w, request.Context(), step, ".", every)
	case GzipBomb:
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(step.status())
		for range bombMembers {
			if _, err := w.Write(r.bomb()); err != nil {
				return
			}
		}
	case Echo:
		w.WriteHeader(step.status())
		_ = request.Header.Write(w)
		_, _ = w.Write(body)
	case ControlCharacters:
		w.WriteHeader(step.status())
		for c := range 0x20 {
			_, _ = w.Write([]byte{'a', byte(c)})
		}
		_, _ = w.Write([]byte("\x1b[31mred\x7f\x80\xff\u202egnp\u200b\u2028\u0000end"))
	case RedirectToMeta:
		w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case Informational:
		w.Header().Set("Link", "</style.css>; rel=preload")
		for request.Context().Err() == nil && r.closed.Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
		}
	default:
		r.answerRaw(w, step)
	}
}

// answerRepeatedly writes text without end, with a pause after each time.
func (r *Receiver) answerRepeatedly(w http.ResponseWriter, ctx context.Context, step Step, text string, every time.Duration) { //nolint:revive // w first, as in every handler
	w.WriteHeader(step.status())
	flush := http.NewResponseController(w)
	for ctx.Err() == nil && r.closed.Err() == nil {
		if _, err := w.Write([]byte(text)); err != nil {
			return
		}
		if every > 0 && (flush.Flush() != nil || !r.pause(ctx, every)) {
			return
		}
	}
}

// answerRaw takes the connection over for the faults that no handler can commit.
func (r *Receiver) answerRaw(w http.ResponseWriter, step Step) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2: the stream is all there is to reset
		panic(http.ErrAbortHandler)
	}
	defer conn.Close() // it is broken on purpose
	switch step.Fault {
	case ResetInHeaders:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nContent-Type: te", step.status())
	case ResetInBody:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\nContent-Length: 100\r\n\r\nhalf of", step.status())
	case NotHTTP:
		_, _ = fmt.Fprint(conn, "220 mail.example ESMTP ready\r\n")
	case EndlessHeaders:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d OK\r\n", step.status())
		for r.closed.Err() == nil {
			if _, err := fmt.Fprint(conn, "X-Filler: ", strings.Repeat("x", 1000), "\r\n"); err != nil {
				return
			}
		}
	}
	if tcp, ok := conn.(*net.TCPConn); ok && step.Fault != NotHTTP {
		// What was written should arrive before the reset drops it.
		r.pause(context.Background(), 20*time.Millisecond)
		_ = tcp.SetLinger(0)
	}
}

const (
	bombMemberBytes = 1 << 20
	bombMembers     = 640
)

// answerBomb makes one gzip member of zeros, about 1 KiB; members in a row are a
// gzip file too.
func answerBomb() []byte {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(make([]byte, bombMemberBytes))
	_ = writer.Close()
	return packed.Bytes()
}
