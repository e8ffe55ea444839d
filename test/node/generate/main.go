// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// record is one line. Kind says which of the other members count.
type record struct {
	Kind string `json:"kind"`
	// document: the data as published and the payload made of it.
	Raw  string `json:"raw,omitempty"`
	Body string `json:"body,omitempty"`
	// changed: Raw is a number that was refused, for this reason.
	Reason payload.Reason `json:"reason,omitempty"`
	// signed: Body as it is sent.
	Headers map[string]string `json:"headers,omitempty"`
	Secrets []string          `json:"secrets,omitempty"`
	// end: how many records came before. Without it the output was cut.
	Records int `json:"records,omitempty"`
}

func main() {
	documents := flag.Int("documents", 50_000, "random documents to make, beside the fixed ones")
	numbers := flag.Int("numbers", 50_000, "random numbers to make, beside those in documents")
	seed := flag.Uint64("seed", 1, "seed of everything random")
	flag.Parse()

	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	err := generateRecords(out, *seed, *documents, *numbers)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generateRecords(out io.Writer, seed uint64, documents, numbers int) error {
	g := newGenerator(out, rand.New(rand.NewPCG(seed, 0)))
	for _, step := range []func() error{
		g.unicodeTexts,
		g.largeDocument,
		func() error { return g.randomNumbers(numbers) },
		func() error { return g.randomDocuments(documents) },
		g.signedDocument,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return g.write(record{Kind: "end", Records: g.records})
}

type generator struct {
	*rand.Rand
	out     *json.Encoder
	records int
	now     time.Time
}

func newGenerator(out io.Writer, random *rand.Rand) *generator {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &generator{Rand: random, out: encoder, now: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)}
}

func (g *generator) write(r record) error {
	if err := g.out.Encode(r); err != nil {
		return fmt.Errorf("write record %d: %w", g.records, err)
	}
	g.records++
	return nil
}
