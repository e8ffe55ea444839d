// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	trimMessages = 300
	trimBytes    = 60 << 10 // of each: three blocks in all
	trimStep     = 16
	trimStream   = "parked-0"
	trimLot      = "p.0.tenant.lot.64"
	trimOther    = "p.0.neighbour.lot.64"
)

var (
	errNoBlock = errors.New("the stream has no second block")
	errTooFew  = errors.New("fewer messages came than are there")
)

// trim is a way to remove messages.
type trim struct {
	name  string
	alone bool // no other lot is in the stream
	// before is up to where the lot is trimmed, out of the sequences of the last message and of the second block; 0: wholly.
	before  func(last, secondBlock uint64) uint64
	subject string // empty: the whole stream
	steps   bool   // a few messages at a time, as a drain does
}

func trims() []trim {
	middle := func(last, _ uint64) uint64 { return last / 2 }
	block := func(_, second uint64) uint64 { return second }
	whole := func(uint64, uint64) uint64 { return 0 }
	return []trim{
		{"acks of intake", false, middle, "intake", false},
		{"acks of a block of intake", false, block, "intake", false},
		{"lot up to a sequence", false, middle, trimLot, false},
		{"lot up to the end of a block", true, block, trimLot, false},
		{"the same in steps of 16", true, block, trimLot, true},
		{"lot beside another", false, whole, trimLot, false},
		{"lot alone", true, whole, trimLot, false},
		{"namespace", false, whole, "p.0.tenant.>", false},
		{"stream", false, whole, "", false},
	}
}

// cutAfterTrims ends the engine right after each kind of trim, in each way.
func (s *spike) cutAfterTrims(ctx context.Context, sync string) error {
	sums, kinds := map[string]*broken{byKill: {}, byPower: {}, afterwards: {}}, map[string][]string{}
	for _, trim := range trims() {
		s.say("power: %s, right after a trim: %s", sync, trim.name)
		var figures []figure
		for _, fate := range []string{byKill, byPower, afterwards} {
			found, err := s.cutAfterTrim(ctx, sync, fate, trim)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", trim.name, fate, err)
			}
			sums[fate].add(found)
			if found.lost+found.back > 0 {
				kinds[fate] = append(kinds[fate], fmt.Sprintf("%s %d", trim.name, found.lost+found.back))
			}
			if len(figures) == 0 {
				figures = append(figures, figure{"removed", float64(found.removed)})
			}
			figures = append(figures, figure{"back: " + fate, float64(found.back)}, figure{"lost: " + fate, float64(found.lost)})
		}
		s.report.add("power", sync+", trim: "+trim.name, figures...)
	}
	for _, fate := range []string{byKill, byPower, afterwards} {
		s.report.judge("power", len(kinds[fate]) == 0, "%s, %s right after each kind of trim: %s %v", sync, fate, sums[fate], kinds[fate])
	}
	return nil
}

func (s *spike) cutAfterTrim(ctx context.Context, sync, fate string, trim trim) (found broken, err error) {
	b, err := s.newPowerBench(ctx, sync, 0)
	if err != nil {
		return found, err
	}
	defer b.close()
	if trim.subject == "intake" {
		err = b.ackIntake(ctx, trim)
	} else {
		err = b.trimLot(ctx, trim)
	}
	if err == nil && fate == afterwards {
		subject := trimOther
		if trim.subject == "intake" {
			subject = "i.neighbour"
		}
		_, err = b.append(ctx, subject, nil)
	}
	if err != nil {
		return found, err
	}
	inLots, inIntake, err := s.end(ctx, b, sync, fate)
	inLots.add(inIntake)
	return inLots, err
}

// fill appends what makes three blocks, and returns the first sequence of the second.
func (b *powerBench) fill(ctx context.Context, stream string, subjects ...string) (second uint64, err error) {
	for i := range trimMessages {
		sequence, err := b.append(ctx, subjects[i%len(subjects)], make([]byte, trimBytes))
		if err != nil {
			return 0, err
		}
		b.set(stream, kept, sequence)
		if second == 0 && blocks(b.disk.store, stream) > 1 {
			second = sequence
		}
	}
	if second == 0 {
		err = errNoBlock
	}
	return second, err
}

func (b *powerBench) ackIntake(ctx context.Context, trim trim) error {
	second, err := b.fill(ctx, "intake", "i.tenant")
	if err != nil {
		return err
	}
	for left := int(trim.before(trimMessages, second) - 1); left > 0; { //nolint:gosec // it is some hundred
		acked, err := b.ack(ctx, b.ledger, left)
		if err != nil {
			return err
		}
		if left -= acked; acked == 0 {
			return errTooFew
		}
	}
	return nil
}

func (b *powerBench) trimLot(ctx context.Context, trim trim) error {
	subjects := []string{trimLot, trimOther}
	if trim.alone {
		subjects = subjects[:1]
	}
	second, err := b.fill(ctx, trimStream, subjects...)
	if err != nil {
		return err
	}
	before := trim.before(trimMessages, second)
	var options []jetstream.StreamPurgeOpt
	if trim.subject != "" {
		options = append(options, jetstream.WithPurgeSubject(trim.subject))
	}
	for step := uint64(trimStep); trim.steps && step < before; step += trimStep {
		if err := b.purge(ctx, trimStream, jetstream.WithPurgeSubject(trim.subject), jetstream.WithPurgeSequence(step)); err != nil {
			return err
		}
	}
	if before > 0 {
		options = append(options, jetstream.WithPurgeSequence(before))
	}
	if err := b.purge(ctx, trimStream, options...); err != nil {
		return err
	}
	for i := range trimMessages {
		sequence := uint64(i) + 1
		if (before == 0 || sequence < before) && (trim.subject == "" || i%len(subjects) == 0) {
			b.set(trimStream, removed, sequence)
		}
	}
	return nil
}
