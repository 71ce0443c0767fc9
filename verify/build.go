package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"drystone/protocol"
)

// Build completes a proof from the transparency log: p holds everything but its paths into the log, and a Checkpoint that
// the log has reached. Openings lose the states that they carry, and those that do not fit the commit are left out: a
// contributor may have sent anything, and signed none of it. Checks and verdicts are put in order. Build audits what
// it made at L0 and L1, so that it never returns a proof that fails there.
func Build(ctx context.Context, p Proof, log *Log) (*Proof, error) {
	run := protocol.Hash(protocol.DomainRun, p.Spec)
	size, err := checkpointSize(p.Checkpoint, run)
	if err != nil {
		return nil, fmt.Errorf("build proof: %w", err)
	}
	p.Checks = slices.Clone(p.Checks)
	b := builder{log: log, size: size}
	b.find("Certificate", LeafStatement, p.Certificate, &p.Logged.Certificate)
	b.find("Join", LeafJoin, p.Join, &p.Logged.Join)
	b.find("Commit", LeafCommit, p.Commit, &p.Logged.Commit)
	for i := range p.Checks {
		c := &p.Checks[i]
		b.find("Draw", LeafDraw, c.Draw, &c.Logged)
		c.Opening, c.Verdicts = slices.Clone(c.Opening), slices.Clone(c.Verdicts)
		for j := range c.Opening {
			c.Opening[j].Theta, c.Opening[j].M, c.Opening[j].V = nil, nil, nil
		}
		if len(c.Opening) == 1 && !p.fits(c) {
			c.Opening = nil
		}
		for j := range c.Verdicts {
			b.find("Verdict", LeafVerdict, c.Verdicts[j].Verdict, &c.Verdicts[j].Logged)
		}
		slices.SortFunc(c.Verdicts, func(x, y VerdictRecord) int {
			return bytes.Compare(x.Verdict.Body.Verifier[:], y.Verdict.Body.Verifier[:])
		})
	}
	slices.SortFunc(p.Checks, func(x, y CheckRecord) int {
		return bytes.Compare(x.Draw.Body.Verifier[:], y.Draw.Body.Verifier[:])
	})
	if b.err != nil {
		return nil, fmt.Errorf("build proof: %w", b.err)
	}
	data, err := p.Encode()
	if err != nil {
		return nil, err
	}
	f, err := DecodeProof(data)
	if err != nil {
		return nil, fmt.Errorf("build proof: %w", err)
	}
	if _, err := Audit(ctx, f, Options{}); err != nil {
		return nil, fmt.Errorf("build proof: it would not pass an audit: %w", err)
	}
	return &f.Proof, nil
}

// fits reports whether a check's opening belongs to the commit and answers the draw. It says yes where it cannot tell:
// the audit then names what is wrong.
func (p *Proof) fits(c *CheckRecord) bool {
	spec, err := protocol.DecodeSpec(p.Spec, protocol.Hash(protocol.DomainRun, p.Spec))
	if err != nil {
		return true
	}
	g, err := protocol.DecodeBody[protocol.Genesis](&p.Genesis.Statement)
	if err != nil || g.Params > maxParams {
		return true
	}
	commit := &p.Commit.Body
	open, err := protocol.DecodeBody[protocol.Open](&p.Open.Statement)
	if err != nil {
		return true
	}
	own := shardsOf(spec, int(g.Params), open, commit.Round, commit.Peer)
	ch := ChallengeOf(spec, int(g.Params), &c.Draw.Body, commit.Peer, commit.Steps, own)
	return opened{spec, int(g.Params), commit, p.Start, p.End, own, ch}.check(&c.Opening[0], false) == nil
}

// builder looks messages up in the log and keeps the first error.
type builder struct {
	log  *Log
	size uint64
	err  error
}

func (b *builder) find(what string, t LeafType, v any, into *protocol.Path) {
	if b.err != nil {
		return
	}
	leaf, err := EncodeLeaf(t, v)
	if err != nil {
		b.err = err
		return
	}
	i, ok := b.log.Find(leaf)
	if !ok || i >= b.size {
		b.err = fmt.Errorf("%s is not among the first %d leaves of the log; wait for a later checkpoint: %w", what, b.size, ErrGap)
		return
	}
	*into, b.err = b.log.Inclusion(i, b.size)
}

// checkpointSize reads the size that a note claims, without judging its signatures.
func checkpointSize(msg []byte, run protocol.Digest) (uint64, error) {
	text, _, ok := bytes.Cut(msg, []byte("\n\n"))
	if !ok {
		return 0, fmt.Errorf("no signatures: %w", ErrCheckpoint)
	}
	cp, err := parseCheckpoint(string(text)+"\n", run)
	if err != nil {
		return 0, err
	}
	return cp.Size, nil
}
