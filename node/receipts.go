package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drystone/internal/durable"
	"drystone/protocol"
	"drystone/verify"
)

// A commit counts as placed when n - t + 1 of n aggregators gave a receipt for it. That is more than may lie, and since t
// sign every Freeze, a Freeze without the commit bears the signature of one of them at least, which convicts it. Receipts
// are on disk, receipts/ROUND/AGGREGATOR.cbor, until the Freeze has the commit; if it has not, they become a file of
// evidence (verify.Omission).

// place hands a commit to the aggregators, all at once, until enough of them gave a receipt or the round is frozen. It returns
// how many receipts this peer has.
func (t *Trainer) place(ctx context.Context, round uint32, commit protocol.Signed[protocol.Commit]) (int, error) {
	have := map[protocol.PeerID]bool{}
	for _, r := range t.receiptsOf(round, commit.Digest()) {
		have[r.Body.Aggregator] = true
	}
	asking, cancel := context.WithCancel(ctx)
	given := make(chan protocol.Signed[protocol.Receipt])
	var askers sync.WaitGroup
	defer askers.Wait()
	defer cancel()
	for _, p := range t.councilPeers() {
		if !have[p] {
			askers.Go(func() { t.askReceipt(asking, p, commit, given) })
		}
	}
	for len(have) < t.witnesses() {
		more := t.history.wait()
		if t.frozen(round) {
			return len(have), nil // too late or in already: the Freeze tells
		}
		select {
		case r := <-given:
			if err := t.keepReceipt(r); err != nil {
				return len(have), err
			}
			have[r.Body.Aggregator] = true
		case <-more:
		case <-ctx.Done():
			return len(have), ctx.Err()
		}
	}
	return len(have), nil
}

// askReceipt asks one aggregator until it answers well.
func (t *Trainer) askReceipt(ctx context.Context, from protocol.PeerID, commit protocol.Signed[protocol.Commit], given chan<- protocol.Signed[protocol.Receipt]) {
	data := commit.Encode()
	err := retry(ctx, time.Second, func() error {
		resp, err := t.callFor(ctx, 40*time.Second, from, callCommit, data, maxSmall)
		if err != nil {
			return err
		}
		r, err := t.checkReceipt(resp, from, commit)
		if err != nil {
			return err
		}
		select {
		case given <- r:
		case <-ctx.Done():
		}
		return nil
	})
	if err != nil {
		t.cfg.Log.Debug("no receipt", "aggregator", from.Short(), "round", commit.Body.Round, "err", err)
	}
}

func (t *Trainer) checkReceipt(data []byte, from protocol.PeerID, commit protocol.Signed[protocol.Commit]) (protocol.Signed[protocol.Receipt], error) {
	r, err := protocol.DecodeSigned[protocol.Receipt](data)
	if err != nil {
		return r, err
	}
	want := protocol.Receipt{Run: t.run, Round: commit.Body.Round, Commit: commit.Digest(), Aggregator: from}
	if r.Body != want {
		return r, fmt.Errorf("the receipt of %s is not for this commit, or is another's", from.Short())
	}
	return r, r.Verify()
}

func (t *Trainer) receiptDir(round uint32) string {
	return t.path("receipts", fmt.Sprintf("%08d", round))
}

func (t *Trainer) keepReceipt(r protocol.Signed[protocol.Receipt]) error {
	dir := t.receiptDir(r.Body.Round)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, r.Body.Aggregator.String()+".cbor"), r.Encode(), 0o600); err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	return nil
}

// receiptsOf reads the receipts for a commit that are on disk. What is damaged is asked for again.
func (t *Trainer) receiptsOf(round uint32, commit protocol.Digest) (found []protocol.Signed[protocol.Receipt]) {
	files, err := os.ReadDir(t.receiptDir(round))
	if err != nil {
		return nil // none yet
	}
	for _, f := range files[:min(len(files), protocol.MaxSigners)] {
		data, err := os.ReadFile(filepath.Join(t.receiptDir(round), f.Name()))
		if err != nil {
			continue
		}
		r, err := protocol.DecodeSigned[protocol.Receipt](data)
		want := protocol.Receipt{Run: t.run, Round: round, Commit: commit, Aggregator: r.Body.Aggregator}
		if err == nil && r.Body == want && f.Name() == want.Aggregator.String()+".cbor" && r.Verify() == nil {
			found = append(found, r)
		}
	}
	return found
}

// reviewReceipts looks at those of rounds that ended while this process was away.
func (t *Trainer) reviewReceipts() {
	dirs, err := os.ReadDir(t.path("receipts"))
	if err != nil {
		return // none yet
	}
	for _, d := range dirs {
		n, err := strconv.ParseUint(d.Name(), 10, 32)
		round := uint32(n)
		freeze, st, bad := statementOf[protocol.Freeze](t.history, protocol.KindFreeze, round)
		if err != nil || bad != nil {
			continue
		}
		c, err := t.store.Load(round)
		if err != nil { // without the commit the receipts show nothing
			t.forgetReceipts(round)
			continue
		}
		commit := protocol.Sign(t.cfg.Key, c.Commit(st.Statement.Prev))
		if slices.ContainsFunc(freeze.Commits, func(f protocol.Frozen) bool { return f.Commit == commit.Digest() }) {
			t.forgetReceipts(round)
		} else {
			t.leftOut(round, commit)
		}
	}
}

// forgetReceipts drops the receipts of a round that kept its promises.
func (t *Trainer) forgetReceipts(round uint32) {
	if err := os.RemoveAll(t.receiptDir(round)); err != nil {
		t.cfg.Log.Debug("receipts", "round", round, "err", err)
	}
}

// leftOut tells a person that a Freeze lacks this peer's commit: it came too late, or receipts were broken, and then a file
// of evidence says whose.
func (t *Trainer) leftOut(round uint32, commit protocol.Signed[protocol.Commit]) {
	e := Event{Kind: EventWarning, Round: round, Peer: t.cfg.Key.ID()}
	receipts := t.receiptsOf(round, commit.Digest())
	if len(receipts) == 0 {
		e.Text = fmt.Sprintf("the commit to round %d came too late; nothing is lost but this round", round)
		t.emit(e)
		return
	}
	path, report, err := t.keepOmission(round, commit, receipts)
	switch {
	case errors.Is(err, verify.ErrNothingBroken):
		t.forgetReceipts(round)
		e.Text = fmt.Sprintf("the commit to round %d is not in its Freeze, which none of the %d that gave a receipt for it signed; nothing is lost but this round", round, len(receipts))
	case err != nil:
		e.Text = fmt.Sprintf("the commit to round %d is not in its Freeze in spite of %d receipts, kept in %s: %v", round, len(receipts), t.receiptDir(round), err)
	default:
		t.forgetReceipts(round) // the file has them
		var names []string
		for _, id := range report.Convicted {
			names = append(names, id.String())
		}
		e.Kind = EventOmitted
		e.Text = fmt.Sprintf("the commit to round %d was left out in spite of its receipt by %s: tell the founder; \"drystone audit %s --run %s\" shows it to anyone",
			round, strings.Join(names, ", "), path, t.run)
	}
	t.emit(e)
}

// keepOmission writes the evidence that receipts were broken, once it convicts somebody.
func (t *Trainer) keepOmission(round uint32, commit protocol.Signed[protocol.Commit], receipts []protocol.Signed[protocol.Receipt]) (string, *verify.OmissionReport, error) {
	spec, err := protocol.Encode(t.spec)
	if err != nil {
		return "", nil, err
	}
	freeze := t.history.find(protocol.KindFreeze, round)
	o := verify.Omission{Spec: spec, Genesis: *t.history.at(0), Councils: []protocol.SignedStatement{}, Freeze: *freeze, Commit: commit, Receipts: receipts}
	for _, s := range t.history.councilChanges() {
		if s.Statement.Round <= round {
			o.Councils = append(o.Councils, s)
		}
	}
	report, err := o.Judge(&t.run)
	if err != nil {
		return "", nil, err
	}
	data, err := o.Encode()
	if err != nil {
		return "", report, err
	}
	path := t.path("evidence", fmt.Sprintf("omission-%d.evidence", round))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", report, fmt.Errorf("evidence: %w", err)
	}
	return path, report, durable.WriteFile(path, data, 0o600)
}
