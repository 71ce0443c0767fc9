package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drystone/internal/durable"
	"drystone/protocol"
)

// maxEvidence bounds the files of evidence that a member keeps: enough to convict every aggregator.
const maxEvidence = protocol.MaxSigners

// forked keeps what convicts those who signed both statements, one protocol.Contradiction a file, and names them. What cannot
// be written is said as well: the chain that is held stands in any case.
func (h *history) forked(held, rival *protocol.SignedStatement) error {
	err := fmt.Errorf("%s of round %d: %w", rival.Statement.Kind, rival.Statement.Round, errForked)
	dir := filepath.Join(h.dir, "evidence")
	if e := os.MkdirAll(dir, 0o700); e != nil {
		return fmt.Errorf("%w; evidence: %w", err, e)
	}
	kept, e := os.ReadDir(dir)
	if e != nil {
		return fmt.Errorf("%w; evidence: %w", err, e)
	}
	var names []string
	for _, c := range contradictions(held, rival) {
		names = append(names, c.Signer.String())
		path := filepath.Join(dir, fmt.Sprintf("%s-%s.cbor", c.Signer, c.Second.Digest().Short()))
		data, e := protocol.Encode(c)
		if e == nil && len(kept)+len(names) <= maxEvidence {
			e = durable.WriteFile(path, data, 0o600)
		}
		if e != nil {
			return fmt.Errorf("%w; evidence: %w", err, e)
		}
	}
	if len(names) > 0 {
		err = fmt.Errorf("%w: signed both: %s; evidence in %s", err, strings.Join(names, ", "), dir)
	}
	return err
}

// contradictions are the evidence against everyone who signed both of two statements for one step.
func contradictions(a, b *protocol.SignedStatement) (out []protocol.Contradiction) {
	if !a.Statement.Rivals(&b.Statement) {
		return nil
	}
	for _, x := range a.Sigs {
		for _, y := range b.Sigs {
			if x.Signer == y.Signer {
				out = append(out, protocol.Contradiction{Signer: x.Signer, First: a.Statement, FirstSig: x.Sig, Second: b.Statement, SecondSig: y.Sig})
			}
		}
	}
	return out
}
