package trial

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"drystone/aggregate"
	"drystone/protocol"
	"drystone/verify"
)

// Finish waits until every member has finished the run, stops them, and checks what they hold: all have the same state
// and the same transparency log; the outcome is that of the undisturbed run; every record that was acknowledged to anybody
// is in the log; every round is certified exactly once.
func (c *Council) Finish(ctx context.Context) error {
	for len(c.ends) < len(c.procs) {
		if _, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindEnd }); err != nil {
			return fmt.Errorf("%w; finished: %d of %d members", err, len(c.ends), len(c.procs))
		}
	}
	if err := c.Close(); err != nil {
		return err
	}
	want, err := undisturbed(c.opts.plan())
	if err != nil {
		return err
	}
	var errs []error
	for i, e := range c.ends {
		if e != c.ends[0] {
			errs = append(errs, fmt.Errorf("member %d ends with another state or log than member 0", i))
		}
		if e.Outcome != want {
			errs = append(errs, fmt.Errorf("member %d ends with outcome %s, the undisturbed run with %s", i, e.Outcome.Short(), want.Short()))
		}
		errs = append(errs, c.checkLog(i, e))
	}
	return errors.Join(errs...)
}

// checkLog reads a member's transparency log from its disk.
func (c *Council) checkLog(i int, e End) error {
	l, err := verify.OpenLog(filepath.Join(c.dir(i), "log"))
	if err != nil {
		return err
	}
	defer l.Close()
	root, err := l.Root(e.LogSize)
	if err != nil || root != e.LogRoot {
		return fmt.Errorf("member %d: the log on disk has root %s, want %s: %w", i, root.Short(), e.LogRoot.Short(), err)
	}
	missing, certified := len(c.acked), map[uint32]int{}
	for n := range l.Size() {
		leaf, err := l.Leaf(n)
		if err != nil {
			return err
		}
		if c.acked[protocol.LeafHash(leaf).String()] {
			missing--
		}
		if kind, v, err := aggregate.DecodeRecord(leaf); err == nil && kind == aggregate.LeafStatement {
			if s := v.(*protocol.SignedStatement).Statement; s.Kind == protocol.KindCertificate {
				certified[s.Round]++
			}
		}
	}
	if missing != 0 {
		return fmt.Errorf("member %d: %d of %d acknowledged records are not in its log", i, missing, len(c.acked))
	}
	for r := range c.opts.Rounds {
		if certified[r] != 1 {
			return fmt.Errorf("member %d: round %d was certified %d times", i, r, certified[r])
		}
	}
	return nil
}
