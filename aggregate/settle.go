package aggregate

import (
	"bytes"
	"math/big"
	"slices"

	"drystone/protocol"
)

// epochOf returns the epoch of a round, from 1.
func (m *Machine) epochOf(round uint32) uint64 {
	return uint64(round/m.cfg.Spec.Payout.EpochRounds) + 1
}

// epochLength returns the number of rounds of an epoch; the last may be short.
func (m *Machine) epochLength(number uint64) uint32 {
	per := uint64(m.cfg.Spec.Payout.EpochRounds)
	return uint32(min(per, uint64(m.rounds())-(number-1)*per))
}

// settleRounds closes the rounds whose checks have all ended, and makes an epoch due when its last round is closed.
func (m *Machine) settleRounds() {
	for i := range m.s.Rounds {
		r := &m.s.Rounds[i]
		open := func(e entry) bool { return !e.Check.Done }
		if r.Settled || r.statement(protocol.KindRevealSet) == nil || slices.ContainsFunc(r.Entries, open) {
			continue
		}
		r.Settled = true
		m.earn(r)
	}
	for i := range m.s.Pay.Epochs {
		e := &m.s.Pay.Epochs[i]
		if !e.Due && e.Rounds == m.epochLength(e.Number) {
			e.Due, e.LogRoot = true, m.logRoot()
		}
	}
}

// earn books the work of a settled round.
func (m *Machine) earn(r *round) {
	ep := m.epoch(m.epochOf(r.Number))
	ep.Rounds++
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Check.Refuted {
			if at, ok := search(ep.Void, e.Peer, idKey); !ok {
				ep.Void = slices.Insert(ep.Void, at, e.Peer)
			}
		}
		if !e.stands() {
			continue
		}
		tokens := m.cfg.Spec.Tokens(e.Commit.Body.Steps, m.cfg.Params, m.assigned(r, i))
		m.peer(e.Peer).Tokens += tokens
		ep.Work = append(ep.Work, Work{Round: r.Number, Peer: e.Peer, Account: e.Account, Tokens: tokens})
	}
}

// epoch returns the books of an unsettled epoch, which it opens if need be.
func (m *Machine) epoch(number uint64) *epoch {
	i := 0
	for i < len(m.s.Pay.Epochs) && m.s.Pay.Epochs[i].Number < number {
		i++
	}
	if i == len(m.s.Pay.Epochs) || m.s.Pay.Epochs[i].Number != number {
		m.s.Pay.Epochs = slices.Insert(m.s.Pay.Epochs, i, epoch{Number: number})
	}
	return &m.s.Pay.Epochs[i]
}

// due returns the epoch that is to be settled now, or nil. Epochs are settled in order, since payouts are cumulative.
func (m *Machine) due() *epoch {
	if e := m.s.Pay.Epochs; len(e) > 0 && e[0].Due && e[0].Number == m.s.Pay.Settled+1 {
		return &e[0]
	}
	return nil
}

// payable returns the work of an epoch that is paid: a peer that was refuted in the epoch earns nothing in it.
func (e *epoch) payable() []Work {
	work := []Work{}
	for _, w := range e.Work {
		if _, void := search(e.Void, w.Peer, idKey); !void {
			work = append(work, w)
		}
	}
	slices.SortFunc(work, func(a, b Work) int {
		if a.Round != b.Round {
			return int(a.Round) - int(b.Round)
		}
		return bytes.Compare(a.Peer[:], b.Peer[:])
	})
	return work
}

func (m *Machine) settle(s *Settle) error {
	if err := m.ofRun(s.Settlement.Run); err != nil {
		return err
	}
	if err := m.member(s.Signer); err != nil {
		return err
	}
	if s.Settlement.Epoch <= m.s.Pay.Settled {
		if l := m.s.Pay.Last; l != nil && l.Settlement.Epoch == s.Settlement.Epoch {
			i, signed := search(l.Sigs, s.Signer, paidKey)
			switch {
			case signed && l.Settlement == s.Settlement:
				return refuse(ErrDuplicate, "settlement of epoch %d by %s", s.Settlement.Epoch, s.Signer.Short())
			case signed:
				return m.settlesAgain(&l.Settlement, l.Sigs[i].Sig, s)
			}
		}
		return refuse(ErrLate, "settlement of epoch %d, which is final", s.Settlement.Epoch)
	}
	e := m.due()
	if e == nil || s.Settlement.Epoch != e.Number {
		return refuse(ErrEarly, "settlement of epoch %d, which is not due", s.Settlement.Epoch)
	}
	i, ok := search(m.s.Pay.Bids, s.Signer, bidKey)
	if ok && sameSettlement(&m.s.Pay.Bids[i], s) {
		return refuse(ErrDuplicate, "settlement of epoch %d by %s", e.Number, s.Signer.Short())
	} else if ok {
		return m.settlesAgain(&m.s.Pay.Bids[i].Settlement, m.s.Pay.Bids[i].Sig, s)
	}
	if s.Settlement.LogRoot != e.LogRoot {
		return refuse(ErrDiffers, "settlement of epoch %d on log root %s, want %s", e.Number, s.Settlement.LogRoot.Short(), e.LogRoot.Short())
	}
	if err := m.checkPayouts(s); err != nil {
		return err
	}
	if err := m.cfg.VerifySettlement(s.Settlement, s.Payouts, s.Signer, s.Sig); err != nil {
		return refuse(ErrInvalid, "settlement of epoch %d by %s: %v", e.Number, s.Signer.Short(), err)
	}
	m.s.Pay.Bids = slices.Insert(m.s.Pay.Bids, i, *s)
	m.concludeSettlement(s)
	return nil
}

func sameSettlement(a, b *Settle) bool {
	return a.Settlement == b.Settlement && slices.Equal(a.Payouts, b.Payouts)
}

// checkPayouts checks the form of cumulative payouts: ascending accounts, nobody loses what an earlier epoch gave, and
// the sum is the total.
func (m *Machine) checkPayouts(s *Settle) error {
	had := map[protocol.Address]protocol.Amount{}
	if m.s.Pay.Last != nil {
		for _, p := range m.s.Pay.Last.Payouts {
			had[p.Account] = p.Cumulative
		}
	}
	sum := new(big.Int)
	for i, p := range s.Payouts {
		if i > 0 && bytes.Compare(s.Payouts[i-1].Account[:], p.Account[:]) >= 0 {
			return refuse(ErrInvalid, "settlement of epoch %d: accounts not in ascending order", s.Settlement.Epoch)
		}
		if before := had[p.Account]; bytes.Compare(p.Cumulative[:], before[:]) < 0 {
			return refuse(ErrInvalid, "settlement of epoch %d: %s has %s, less than the %s before", s.Settlement.Epoch, p.Account, p.Cumulative, before)
		}
		delete(had, p.Account)
		sum.Add(sum, p.Cumulative.Big())
	}
	if len(had) > 0 {
		return refuse(ErrInvalid, "settlement of epoch %d drops %d accounts of the epoch before", s.Settlement.Epoch, len(had))
	}
	if sum.Cmp(s.Settlement.Total.Big()) != 0 {
		return refuse(ErrInvalid, "settlement of epoch %d: total %s, the payouts add up to %s", s.Settlement.Epoch, s.Settlement.Total, sum)
	}
	return nil
}

// concludeSettlement closes the epoch once t aggregators signed the same settlement as s.
func (m *Machine) concludeSettlement(s *Settle) {
	done := SettledEpoch{Settlement: s.Settlement, Payouts: s.Payouts}
	for i := range m.s.Pay.Bids {
		if b := &m.s.Pay.Bids[i]; sameSettlement(b, s) {
			done.Sigs = append(done.Sigs, SettlementSignature{Signer: b.Signer, Sig: b.Sig})
		}
	}
	if len(done.Sigs) < m.threshold() {
		return
	}
	m.s.Pay.Epochs = slices.Delete(m.s.Pay.Epochs, 0, 1)
	m.s.Pay.Bids = nil
	m.s.Pay.Settled = s.Settlement.Epoch
	m.s.Pay.Last = &done
	m.fx.Settled = append(m.fx.Settled, done.clone())
	m.appendLeaf(LeafSettlement, &done)
	m.targetCheckpoint()
}

func (s *SettledEpoch) clone() SettledEpoch {
	return SettledEpoch{Settlement: s.Settlement, Payouts: slices.Clone(s.Payouts), Sigs: slices.Clone(s.Sigs)}
}
