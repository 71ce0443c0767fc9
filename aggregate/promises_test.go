package aggregate_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/protocol"
)

func digestOf(n int) protocol.Digest { return protocol.Hash("promise", []byte{byte(n)}) }

func statement(step protocol.Kind, round uint32, prev int, commits ...int) aggregate.Promise {
	p := aggregate.Promise{Kind: aggregate.PromiseStatement, Number: uint64(round), Step: step, Prev: digestOf(prev)}
	for _, c := range commits {
		p.Commits = append(p.Commits, digestOf(c))
	}
	b, _ := protocol.Encode(p)
	p.Digest = protocol.Hash("promise", b)
	return p
}

// What was signed may be signed again, and nothing that contradicts it: protocol.Statement.Rivals, BrokenReceipt, and one
// checkpoint, settlement and rotation of a number.
func TestPromises(t *testing.T) {
	open, freeze := statement(protocol.KindOpen, 4, 1), statement(protocol.KindFreeze, 4, 2, 10, 11)
	council := statement(protocol.KindCouncil, 4, 0)
	for name, c := range map[string]struct {
		signed []aggregate.Promise
		next   aggregate.Promise
		want   error
	}{
		"the same":                        {[]aggregate.Promise{open}, open, nil},
		"the next":                        {[]aggregate.Promise{open}, freeze, nil},
		"another of its kind":             {[]aggregate.Promise{open}, statement(protocol.KindOpen, 4, 3), aggregate.ErrDiffers},
		"another successor":               {[]aggregate.Promise{open}, statement(protocol.KindEnd, 4, 1), aggregate.ErrDiffers},
		"a second council":                {[]aggregate.Promise{council}, statement(protocol.KindCouncil, 4, 7), nil},
		"a rival council":                 {[]aggregate.Promise{council}, statement(protocol.KindCouncil, 4, 0, 1), aggregate.ErrDiffers},
		"a freeze with the receipt":       {[]aggregate.Promise{aggregate.ReceiptPromise(4, digestOf(10))}, freeze, nil},
		"a freeze without":                {[]aggregate.Promise{aggregate.ReceiptPromise(4, digestOf(12))}, freeze, aggregate.ErrDiffers},
		"a receipt of another round":      {[]aggregate.Promise{aggregate.ReceiptPromise(5, digestOf(12))}, freeze, nil},
		"a receipt after the freeze":      {[]aggregate.Promise{freeze}, aggregate.ReceiptPromise(4, digestOf(11)), nil},
		"a receipt that the freeze lacks": {[]aggregate.Promise{freeze}, aggregate.ReceiptPromise(4, digestOf(12)), aggregate.ErrDiffers},
		"another checkpoint": {[]aggregate.Promise{aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 9, digestOf(1))},
			aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 9, digestOf(2)), aggregate.ErrDiffers},
		"a settlement with a checkpoint's number": {[]aggregate.Promise{aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 9, digestOf(1))},
			aggregate.NumberedPromise(aggregate.PromiseSettlement, 9, digestOf(2)), nil},
	} {
		var p aggregate.Promises
		for _, x := range c.signed {
			p.Note(x)
		}
		if known, err := p.Check(c.next); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || known != (name == "the same") {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
	}
}

// However long the run is, little is kept; what was dropped is not signed again, nor is anything in its place.
func TestPromisesAreBounded(t *testing.T) {
	var p aggregate.Promises
	for r := range uint32(500) {
		for i, step := range []protocol.Kind{protocol.KindOpen, protocol.KindFreeze, protocol.KindRevealSet, protocol.KindCertificate} {
			p.Note(statement(step, r, int(r)*4+i))
		}
		p.Note(aggregate.NumberedPromise(aggregate.PromiseCheckpoint, uint64(r)*10, digestOf(int(r))))
		if n := p.Forget(r); n > 4+64 || n != len(p.All()) {
			t.Fatalf("%d promises after round %d", n, r)
		}
	}
	if _, err := p.Check(statement(protocol.KindFreeze, 498, 3)); !errors.Is(err, aggregate.ErrLate) {
		t.Errorf("a statement of a round that is over: %v", err)
	}
	if _, err := p.Check(aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 15, digestOf(1))); !errors.Is(err, aggregate.ErrLate) {
		t.Errorf("an old checkpoint: %v", err)
	}
	if known, err := p.Check(aggregate.NumberedPromise(aggregate.PromiseCheckpoint, 4990, digestOf(499))); !known || err != nil {
		t.Errorf("the last checkpoint: %v, %v", known, err)
	}
}

// A member that is killed between any two signatures and reads its journal again refuses what it refused before.
func TestPromisesSurviveTheirJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p, again aggregate.Promises
		draw := rapid.Custom(func(t *rapid.T) aggregate.Promise {
			n := rapid.IntRange(0, 3).Draw(t, "n")
			switch kind := rapid.SampledFrom([]aggregate.PromiseKind{1, 2, 3, 4, 5}).Draw(t, "kind"); kind {
			case aggregate.PromiseStatement:
				return statement(rapid.SampledFrom([]protocol.Kind{protocol.KindOpen, protocol.KindFreeze, protocol.KindCouncil}).Draw(t, "step"), uint32(n), rapid.IntRange(0, 3).Draw(t, "prev"),
					rapid.SliceOfN(rapid.IntRange(0, 2), 0, 2).Draw(t, "commits")...)
			default:
				return aggregate.NumberedPromise(kind, uint64(n), digestOf(rapid.IntRange(0, 2).Draw(t, "digest")))
			}
		})
		for range rapid.IntRange(0, 20).Draw(t, "signed") {
			x := draw.Draw(t, "promise")
			known, err := p.Check(x)
			if known2, err2 := again.Check(x); known != known2 || (err == nil) != (err2 == nil) {
				t.Fatalf("%v, %v and after the journal %v, %v", known, err, known2, err2)
			}
			if err != nil || known {
				continue
			}
			b, err := x.Encode()
			if err != nil {
				t.Fatal(err)
			}
			y, err := aggregate.DecodePromise(b)
			if err != nil {
				t.Fatal(err)
			}
			p.Note(x)
			again.Note(y)
		}
	})
}

func FuzzPromise(f *testing.F) {
	x := statement(protocol.KindFreeze, 4, 2, 10, 11)
	b, err := x.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := aggregate.DecodePromise(data)
		if err != nil {
			return
		}
		if again, err := x.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x encodes to %x, %v", data, again, err)
		}
	})
}
