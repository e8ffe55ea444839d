// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// maxLevels is how deep data may be: the body around it is one level more.
const maxLevels = payload.MaxDepth - 1

// randomDocuments writes n documents of all shapes.
func (g *generator) randomDocuments(n int) error {
	for range n {
		var b strings.Builder
		var err error
		if g.IntN(50) == 0 {
			err = g.documentChain(&b)
		} else {
			err = g.documentObject(&b, 1+g.IntN(4))
		}
		if err == nil {
			err = g.writeDocument(b.String())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// documentObject writes an object in which at most levels of others are nested.
func (g *generator) documentObject(b *strings.Builder, levels int) error {
	b.WriteString(g.documentSpace() + "{" + g.documentSpace())
	seen := make(map[string]bool)
	for range g.IntN(9) {
		spelt, meant := g.textKey()
		if seen[meant] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[meant] = true
		b.WriteString(g.documentSpace() + spelt + g.documentSpace() + ":")
		if err := g.documentValue(b, levels); err != nil {
			return err
		}
	}
	b.WriteString("}" + g.documentSpace())
	return nil
}

func (g *generator) documentValue(b *strings.Builder, levels int) error {
	kind := g.IntN(8)
	if levels <= 0 {
		kind = g.IntN(5)
	}
	switch kind {
	case 0, 1:
		spelt, _ := g.text(12)
		b.WriteString(g.documentSpace() + spelt + g.documentSpace())
	case 2, 3:
		number, err := g.acceptedNumber()
		b.WriteString(g.documentSpace() + number + g.documentSpace())
		return err
	case 4:
		b.WriteString([]string{"true", "false", "null", "{}", "[]"}[g.IntN(5)])
	case 5, 6:
		return g.documentObject(b, levels-1)
	default:
		b.WriteString("[" + g.documentSpace())
		for i := range g.IntN(6) {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := g.documentValue(b, levels-1); err != nil {
				return err
			}
		}
		b.WriteString("]")
	}
	return nil
}

// documentChain writes objects and arrays within each other down to the last level that
// is allowed, with keys to reorder on the way.
func (g *generator) documentChain(b *strings.Builder) error {
	levels := maxLevels - g.IntN(3)
	closing := make([]string, 0, levels)
	b.WriteString(`{"a":`)
	closing = append(closing, `,"7":1,"3":2}`)
	for range levels - 1 {
		if g.IntN(2) == 0 {
			b.WriteString(`[0,`)
			closing = append(closing, `]`)
		} else {
			b.WriteString(`{"b":1,"x":`)
			closing = append(closing, `,"2":1.50,"1":true}`)
		}
	}
	number, err := g.acceptedNumber()
	b.WriteString(number)
	for _, end := range slices.Backward(closing) {
		b.WriteString(end)
	}
	return err
}

func (g *generator) documentSpace() string {
	if g.IntN(4) > 0 {
		return ""
	}
	return []string{" ", "\n", "\t", "\r\n", "    "}[g.IntN(5)]
}

// largeDocument writes documents close to the limit, with more keys than engines keep
// in their quick form of an object.
func (g *generator) largeDocument() error {
	keys := []func(i int) string{
		func(i int) string { return fmt.Sprintf("key_%d", i) },
		func(i int) string { return strconv.Itoa(20000 - i) },
		func(i int) string { return strconv.FormatUint(uint64(uint32(i)*2654435761), 10) },
		func(i int) string {
			if i%2 == 0 {
				return strconv.Itoa(i * 214748)
			}
			return "k" + strconv.Itoa(i)
		},
	}
	for _, key := range keys {
		var b strings.Builder
		b.WriteString("{")
		for i := 0; b.Len() < payload.MaxBytes-200; i++ {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, `"%s":%d.50`, key(i), i)
		}
		b.WriteString("}")
		if err := g.writeDocument(b.String()); err != nil {
			return err
		}
	}
	return nil
}

// signedDocument writes payloads with the headers under which they are sent.
func (g *generator) signedDocument() error {
	secrets := []string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
		"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=",
		"a secret with spaces, ünd Ümläute",
		"0123456789abcdef",
	}
	for i := range 24 {
		var b strings.Builder
		if err := g.documentObject(&b, 3); err != nil {
			return err
		}
		body, err := payload.Build("verification.completed", g.now, []byte(b.String()))
		if err != nil {
			return fmt.Errorf("build a document to sign: %w", err)
		}
		used := []string{secrets[i%len(secrets)]}
		keys := signature.Keys{Primary: signature.NewSecret(used[0])}
		if i >= 12 { // a rotation overlaps
			used = append(used, secrets[(i+1)%len(secrets)])
			keys.Secondary = signature.NewSecret(used[1])
		}
		id := fmt.Sprintf("evt_%026d", i)
		headers, err := keys.Sign(id, g.now.Add(time.Duration(i)*time.Second), body)
		if err != nil {
			return fmt.Errorf("sign: %w", err)
		}
		sent := map[string]string{
			"x-bbmcp-signature": headers.Signature,
			"webhook-id":        id,
			"webhook-timestamp": headers.WebhookTimestamp,
			"webhook-signature": headers.WebhookSignature,
		}
		if headers.SignatureNext != "" {
			sent["x-bbmcp-signature-next"] = headers.SignatureNext
		}
		if err := g.write(record{Kind: "signed", Body: string(body), Headers: sent, Secrets: used}); err != nil {
			return err
		}
	}
	return nil
}

// writeDocument writes the record of data, which must be acceptable.
func (g *generator) writeDocument(data string) error {
	// Half of the timestamps have milliseconds.
	timestamp := g.now.Add(time.Duration(g.IntN(2)*g.IntN(1e9)) * time.Microsecond)
	body, err := payload.Build("context.created", timestamp, []byte(data))
	if err != nil {
		return fmt.Errorf("build a document that was made to be accepted: %w", err)
	}
	return g.write(record{Kind: "document", Raw: data, Body: string(body)})
}
