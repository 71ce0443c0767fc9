package aggregate

import (
	"slices"
	"time"

	"drystone/protocol"
)

// MaySign is the signer's own guard before a Cosign: it uses the local clock and the local promises, which the log does
// not know. It returns nil, or a refusal: ErrDiffers for a statement that the machine does not await, or a Freeze that
// lacks a commit which this aggregator gave a receipt for; ErrEarly for a Freeze before the local deadline while commits
// are missing, or a RevealSet while reveals are, which is to be asked again later. So a leader that logs a false time
// cannot cut a phase short.
//
// since is the local time at which this node saw the statement before this one become final, or at which it started if
// that was later. receipts are the digests of the commits of this round that it gave receipts for: give one only after
// the commit is in the log, and the Freeze always holds it, unless the log forked.
func (m *Machine) MaySign(s *protocol.Statement, now, since time.Time, receipts []protocol.Digest) error {
	if s.Kind == protocol.KindCertificate && m.freeMerge() {
		return m.checkCertificate(s)
	}
	if len(m.s.Ballots) == 0 || m.s.Ballots[0].Statement.Digest() != s.Digest() {
		return refuse(ErrDiffers, "sign %s of round %d, which the log does not ask for", s.Kind, s.Round)
	}
	switch s.Kind {
	case protocol.KindFreeze:
		return m.mayFreeze(s, now, since, receipts)
	case protocol.KindRevealSet:
		missing := func(e entry) bool { return e.Commit != nil && e.Reveal == nil && !e.Bad }
		return m.patient(s, now, since.Add(m.cfg.Spec.Deadlines.RevealFor()), missing)
	}
	return nil
}

func (m *Machine) mayFreeze(s *protocol.Statement, now, since time.Time, receipts []protocol.Digest) error {
	body, err := protocol.DecodeBody[protocol.Freeze](s)
	if err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	for _, d := range receipts {
		if !slices.ContainsFunc(body.Commits, func(f protocol.Frozen) bool { return f.Commit == d }) {
			return refuse(ErrDiffers, "sign Freeze of round %d, which lacks commit %s that has a receipt", s.Round, d.Short())
		}
	}
	wait := m.cfg.Spec.Deadlines.TrainFor()
	if len(body.Commits) == 0 {
		wait *= 2
	}
	missing := func(e entry) bool { return e.Commit == nil && m.peer(e.Peer).Active }
	return m.patient(s, now, since.Add(wait), missing)
}

// patient refuses before the deadline while something is missing.
func (m *Machine) patient(s *protocol.Statement, now, deadline time.Time, missing func(entry) bool) error {
	if now.Before(deadline) && slices.ContainsFunc(m.round(s.Round).Entries, missing) {
		return refuse(ErrEarly, "sign %s of round %d while not all is in, %s before the deadline", s.Kind, s.Round, deadline.Sub(now))
	}
	return nil
}
