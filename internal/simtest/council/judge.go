package council

import (
	"bytes"
	"fmt"
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
)

// Judge returns what has happened in a run that must not happen with up to f liars, a line each; none is good:
//
//   - two honest members hold different statements for one place, so a round was certified twice;
//   - a Certificate is not the merge of what trainers committed, so a false state was certified;
//   - honest replicas of one log that applied as much of it differ;
//   - an honest trainer is convicted, or evidence is recorded against an honest member;
//   - a Freeze lacks a commit that more than n-t honest aggregators gave a receipt for.
func (s *Sim) Judge() []string {
	return slices.Concat(s.judgeChains(), s.judgeReplicas(), s.judgeBlame(), s.judgeReceipts())
}

// judgeChains holds the chains of honest members against one another, and each Certificate against the merge.
func (s *Sim) judgeChains() (wrong []string) {
	var longest []protocol.SignedStatement
	take := func(who string, chain []protocol.SignedStatement) {
		for i := range min(len(chain), len(longest)) {
			if chain[i].Statement.Digest() != longest[i].Statement.Digest() {
				wrong = append(wrong, fmt.Sprintf("%s has another %s of round %d", who, chain[i].Statement.Kind, chain[i].Statement.Round))
				break
			}
		}
		for i := 1; i < len(chain); i++ {
			if chain[i].Statement.Kind == protocol.KindCertificate && !s.isMerge(chain[i-3:i+1]) {
				wrong = append(wrong, fmt.Sprintf("%s believes a false state after round %d", who, chain[i].Statement.Round))
				break
			}
		}
		if len(chain) > len(longest) {
			longest = chain
		}
	}
	for _, a := range s.Aggs {
		if a.Honest() {
			take(s.name(a.ID()), a.Chain)
		}
	}
	for _, t := range s.Trainers {
		take(s.name(t.ID()), t.Chain)
		if len(t.Forked) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s saw two believable statements %s of round %d", s.name(t.ID()), t.Forked[0].Statement.Kind, t.Forked[0].Statement.Round))
		}
	}
	return wrong
}

// isMerge recomputes a round, Open to Certificate, from what its trainers committed.
func (s *Sim) isMerge(round []protocol.SignedStatement) bool {
	open := must(protocol.DecodeBody[protocol.Open](&round[0].Statement))
	set := must(protocol.DecodeBody[protocol.RevealSet](&round[2].Statement))
	if s.vectors[open.Model] == nil {
		return false
	}
	var in []aggregate.Contribution
	for _, r := range set.Set {
		c, ok := s.work[r.Commit]
		if !ok || c.end.Payload != r.Payload || c.commit.Body.Peer != r.Peer {
			return false
		}
		in = append(in, aggregate.Contribution{Peer: r.Peer, Steps: r.Steps, Payloads: c.payloads})
	}
	st := s.certify(round[3].Statement.Round, round[3].Statement.Prev, open, in)
	return bytes.Equal(st.Body, round[3].Statement.Body)
}

func (s *Sim) judgeReplicas() (wrong []string) {
	for i, a := range s.Aggs {
		for _, b := range s.Aggs[:i] {
			if a.order != b.order || a.applied != b.applied || !a.Honest() || !b.Honest() || a.Down || b.Down {
				continue
			}
			if !bytes.Equal(must(a.machine.Snapshot()), must(b.machine.Snapshot())) {
				wrong = append(wrong, fmt.Sprintf("%s and %s differ after %d records", s.name(a.ID()), s.name(b.ID()), a.applied))
			}
		}
	}
	return wrong
}

func (s *Sim) judgeBlame() (wrong []string) {
	honest := map[protocol.PeerID]bool{}
	for _, a := range s.Aggs {
		honest[a.ID()] = a.Honest()
	}
	for _, t := range s.Trainers {
		honest[t.ID()] = t.Honest()
	}
	for _, a := range s.Aggs {
		if !a.Honest() {
			continue
		}
		for _, c := range a.Convicted {
			if honest[c.Peer] {
				wrong = append(wrong, fmt.Sprintf("%s is convicted and honest", s.name(c.Peer)))
			}
		}
		for _, e := range a.Evidence {
			contradiction := e.Kind != aggregate.EvidenceUndecided && e.Kind != aggregate.EvidenceUnchecked
			if contradiction && honest[e.Who] {
				wrong = append(wrong, fmt.Sprintf("%s is accused of a %s and honest", s.name(e.Who), e.Kind))
			}
		}
	}
	return wrong
}

// judgeReceipts: fewer than t can sign a Freeze that more than n-t honest ones refuse.
func (s *Sim) judgeReceipts() (wrong []string) {
	for _, t := range s.Trainers {
		for _, commit := range t.made {
			givers := map[protocol.PeerID]bool{}
			for _, r := range t.receipts[commit] {
				for _, a := range s.Aggs {
					givers[a.ID()] = givers[a.ID()] || a.ID() == r.Body.Aggregator && a.Honest()
				}
			}
			n := 0
			for _, gave := range givers {
				if gave {
					n++
				}
			}
			if n > len(s.council.Members)-s.council.Threshold && s.leftOut(t, commit) {
				wrong = append(wrong, fmt.Sprintf("a Freeze lacks the commit of %s, with receipts of %d", s.name(t.ID()), n))
			}
		}
	}
	return wrong
}

// leftOut reports whether a Freeze that the trainer believes lacks its commit.
func (s *Sim) leftOut(t *Trainer, commit protocol.Digest) bool {
	freeze := find(t.Chain, protocol.KindFreeze, s.work[commit].commit.Body.Round)
	if freeze == nil {
		return false
	}
	f := must(protocol.DecodeBody[protocol.Freeze](&freeze.Statement))
	return !slices.ContainsFunc(f.Commits, func(x protocol.Frozen) bool { return x.Commit == commit })
}

// Honest reports whether the trainer keeps to the protocol; it may be slow.
func (t *Trainer) Honest() bool { return t.Alter == nil && t.Hide == nil && t.Also == nil }

// Accused returns the members that the honest replicas hold evidence of this kind against, by the first that has some.
func (s *Sim) Accused(kind aggregate.EvidenceKind) []protocol.PeerID {
	for _, a := range s.Aggs {
		var who []protocol.PeerID
		for _, e := range a.Evidence {
			if e.Kind == kind && !slices.Contains(who, e.Who) {
				who = append(who, e.Who)
			}
		}
		if a.Honest() && len(who) > 0 {
			return who
		}
	}
	return nil
}
