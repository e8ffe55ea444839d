// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	typeJSON       = "application/json"
	typeEvent      = "application/cloudevents+json"
	typeEventBatch = "application/cloudevents-batch+json"

	// maxAnswerBytes bounds what is read of an answer: a page of 100 webhooks or
	// a delivery with its payload is far smaller.
	maxAnswerBytes = 16 << 20
)

// call is one call of the API.
type call struct {
	method, path string // the path escaped
	query        url.Values
	header       http.Header
	contentType  string
	body         []byte
	// repeatable calls do no harm when they are made twice.
	repeatable bool
	// anonymous calls carry no token.
	anonymous bool
}

// doRequest makes a call, repeats it where that is safe, and decodes the answer into
// what into points to, if it is not nil.
func (c *Client) doRequest(ctx context.Context, call call, into any) (http.Header, error) {
	for attempt := 0; ; attempt++ {
		header, err := c.requestOnce(ctx, call, into)
		if err == nil || !call.repeatable || attempt >= c.repeats || !isRepeatable(ctx, err) {
			return header, err
		}
		wait := repeatDelay(attempt)
		if e, ok := errors.AsType[*Error](err); ok && e.RetryAfter > 0 {
			wait = e.RetryAfter
		}
		if wait > c.maxWait || !awaitRepeat(ctx, wait) {
			return header, err
		}
	}
}

// requestOnce makes one request.
func (c *Client) requestOnce(ctx context.Context, call call, into any) (http.Header, error) {
	request, err := c.newRequest(ctx, call)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("bbmcp: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes+1))
	switch {
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return answer.Header, errorFromAnswer(call, answer, body)
	case err != nil:
		return answer.Header, fmt.Errorf("bbmcp: %s %s: read the answer: %w", call.method, call.path, err)
	case len(body) > maxAnswerBytes:
		return answer.Header, fmt.Errorf("bbmcp: %s %s: the answer is longer than %d bytes", call.method, call.path, maxAnswerBytes)
	case into == nil:
		return answer.Header, nil
	}
	if !isJSONResponse(answer.Header) {
		return answer.Header, fmt.Errorf("bbmcp: %s %s: the answer is %q, not JSON: is the base URL that of the API?",
			call.method, call.path, answer.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return answer.Header, fmt.Errorf("bbmcp: %s %s: the answer cannot be read: %w", call.method, call.path, err)
	}
	return answer.Header, nil
}

func (c *Client) newRequest(ctx context.Context, call call) (*http.Request, error) {
	target := c.base.String() + call.path
	query := maps.Clone(call.query)
	if c.namespace != "" && !call.anonymous {
		if query == nil {
			query = url.Values{}
		}
		query.Set("namespace", c.namespace)
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body io.Reader
	if call.body != nil {
		body = bytes.NewReader(call.body)
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("bbmcp: %w", err)
	}
	maps.Copy(request.Header, call.header)
	if call.body != nil {
		request.Header.Set("Content-Type", typeJSON)
		if call.contentType != "" {
			request.Header.Set("Content-Type", call.contentType)
		}
	}
	request.Header.Set("Accept", typeJSON+", application/problem+json")
	request.Header.Set("User-Agent", c.userAgent)
	if call.anonymous {
		return request, nil
	}
	token, err := c.token(ctx)
	if err == nil {
		token, err = checkToken(token)
	}
	if err != nil {
		return nil, fmt.Errorf("bbmcp: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return request, nil
}

func isJSONResponse(header http.Header) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (media == typeJSON || strings.HasSuffix(media, "+json"))
}

// requestSegment escapes an id for use in a path.
func requestSegment(kind, id string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", fmt.Errorf("bbmcp: %q is no %s id", id, kind)
	}
	return url.PathEscape(id), nil
}

// requestJSON writes JSON without escaping what HTML would need.
func requestJSON(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("bbmcp: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
