package verify

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drystone/protocol"
)

// omitting is a run whose set changed before round 1, in which the Freeze of round 1 lacks a commit that two of three gave a
// receipt for: one of them signed the Freeze. The last key is the liar's.
func omitting(t testing.TB) (*world, *Omission, protocol.Key) {
	w := newWorld(t, 40, "segment", "sparse", 1)
	w.round(0, 6)
	o := &Omission{Spec: must(protocol.Encode(w.spec))(t), Genesis: w.chain[0], Commit: protocol.Signed[protocol.Commit]{}}
	o.Councils = []protocol.SignedStatement{w.replace(1, 0, keys("newcomer", 1)[0], w.aggs[:2])}
	liar, honest, third := w.aggs[0], w.aggs[1], w.aggs[2]
	open := w.sign(protocol.NewStatement(w.run, 1, w.head(), protocol.Open{Roster: []protocol.PeerID{}}), []protocol.Key{liar, third})
	peer := w.peers[0]
	o.Commit = protocol.Sign(peer, protocol.Commit{Run: w.run, Round: 1, Peer: peer.ID(), Open: open.Statement.Digest(), Trace: protocol.Hash("trace"), Steps: 6})
	for _, k := range []protocol.Key{honest, liar} {
		o.Receipts = append(o.Receipts, protocol.Sign(k, protocol.Receipt{Run: w.run, Round: 1, Commit: o.Commit.Digest(), Aggregator: k.ID()}))
	}
	freeze := protocol.Freeze{Commits: []protocol.Frozen{{Peer: w.peers[1].ID(), Commit: protocol.Hash("another")}}}
	o.Freeze = w.sign(protocol.NewStatement(w.run, 1, open.Statement.Digest(), freeze), []protocol.Key{liar, third})
	return w, o, liar
}

// A commit with receipts of n - t + 1 cannot be left out without a signature that convicts (DESIGN, section 4): the file says
// whose, to a stranger who brings the RunID.
func TestOmissionConvicts(t *testing.T) {
	w, o, liar := omitting(t)
	data := must(o.Encode())(t)
	path := filepath.Join("testdata", "omission.evidence")
	if *update {
		w.must(os.WriteFile(path, data, 0o600))
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(want, data) {
		t.Errorf("%s differs: %v; run go test ./verify -run Omission -update if that is meant", path, err)
	}
	again := must(DecodeOmission(data))(t)
	r := must(again.Judge(&w.run))(t)
	if !slices.Equal(r.Convicted, []protocol.PeerID{liar.ID()}) || !r.Pinned || r.Round != 1 || r.Peer != w.peers[0].ID() || r.Receipts != 2 {
		t.Errorf("%+v", r)
	}
	if r := must(again.Judge(nil))(t); r.Pinned || r.Run != w.run {
		t.Errorf("without a RunID: %+v", r)
	}
	other := protocol.Hash("another run")
	if _, err := again.Judge(&other); err == nil {
		t.Error("evidence of another run was taken")
	}
}

// Whatever is not genuine, or breaks no promise, convicts nobody.
func TestOmissionRefuses(t *testing.T) {
	w, _, _ := omitting(t)
	stranger := protocol.DeriveKey(1, "stranger")
	for _, c := range []struct {
		name string
		edit func(o *Omission, liar protocol.Key)
		want string
	}{
		{"the Freeze has the commit", func(o *Omission, liar protocol.Key) {
			f := protocol.Freeze{Commits: []protocol.Frozen{{Peer: o.Commit.Body.Peer, Commit: o.Commit.Digest()}}}
			o.Freeze = w.sign(protocol.NewStatement(w.run, 1, o.Freeze.Statement.Prev, f), []protocol.Key{liar, w.aggs[2]})
		}, ErrNothingBroken.Error()},
		{"only one that did not sign gave a receipt", func(o *Omission, _ protocol.Key) { o.Receipts = o.Receipts[:1] }, ErrNothingBroken.Error()},
		{"no receipt", func(o *Omission, _ protocol.Key) { o.Receipts = nil }, ErrNothingBroken.Error()},
		{"a receipt twice", func(o *Omission, _ protocol.Key) { o.Receipts = append(o.Receipts, o.Receipts[0]) }, "receipt 2"},
		{"a forged receipt", func(o *Omission, _ protocol.Key) { o.Receipts[1].Sig[5] ^= 1 }, "receipt 1"},
		{"a receipt of a stranger", func(o *Omission, _ protocol.Key) {
			o.Receipts[1] = protocol.Sign(stranger, protocol.Receipt{Run: w.run, Round: 1, Commit: o.Commit.Digest(), Aggregator: stranger.ID()})
		}, "receipt 1"},
		{"a receipt of another round", func(o *Omission, liar protocol.Key) {
			o.Receipts[1] = protocol.Sign(liar, protocol.Receipt{Run: w.run, Round: 0, Commit: o.Commit.Digest(), Aggregator: liar.ID()})
		}, "receipt 1"},
		{"a forged commit", func(o *Omission, _ protocol.Key) { o.Commit.Sig[5] ^= 1 }, "commit message"},
		{"a commit to another Open", func(o *Omission, _ protocol.Key) {
			c := o.Commit.Body
			c.Open = protocol.Hash("open")
			o.Commit = protocol.Sign(w.peers[0], c)
		}, "the commit answers"},
		{"a Freeze without its quorum", func(o *Omission, _ protocol.Key) { o.Freeze.Sigs = o.Freeze.Sigs[:1] }, "sign"},
		{"an Open in place of the Freeze", func(o *Omission, _ protocol.Key) {
			o.Freeze = w.sign(protocol.NewStatement(w.run, 1, w.head(), protocol.Open{Roster: []protocol.PeerID{}}), w.aggs[:2])
		}, "where the Freeze should be"},
		{"without the change of the set", func(o *Omission, _ protocol.Key) { o.Councils = nil }, ""},
		{"another spec", func(o *Omission, _ protocol.Key) { o.Spec = append([]byte{}, o.Spec[:len(o.Spec)-1]...) }, ""},
	} {
		_, o, liar := omitting(t)
		c.edit(o, liar)
		if _, err := o.Judge(nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Every flipped byte of the file is noticed.
func TestEveryByteOfAnOmission(t *testing.T) {
	_, o, _ := omitting(t)
	data := must(o.Encode())(t)
	for i := range data {
		data[i] ^= 1
		if _, err := DecodeOmission(data); !errors.Is(err, ErrNotOmission) {
			t.Fatalf("byte %d: %v", i, err)
		}
		data[i] ^= 1
	}
	if _, err := DecodeOmission(nil); !errors.Is(err, ErrNotOmission) {
		t.Error(err)
	}
}

func FuzzDecodeOmission(f *testing.F) {
	_, o, _ := omitting(f)
	data := must(o.Encode())(f)
	f.Add(data[len(omission) : len(data)-sha256.Size])
	f.Fuzz(func(t *testing.T, body []byte) {
		data := append([]byte(omission), body...)
		sum := sha256.Sum256(data)
		data = append(data, sum[:]...)
		o, err := DecodeOmission(data)
		if err != nil {
			return
		}
		o.Judge(nil)
		if again, err := o.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("evidence has two encodings: %v", err)
		}
	})
}
