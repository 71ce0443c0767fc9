package node

import (
	"errors"

	"drystone/aggregate"
	"drystone/protocol"
)

// promise is to be called before anything signed leaves. A disk that fails ends the aggregator, as Raft's does.
func (a *Aggregator) promise(x aggregate.Promise) error {
	err := a.promises.Give(x)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, aggregate.ErrRefused):
		a.cfg.Log.Warn("not signed", "why", err)
	default:
		a.fail(err)
	}
	return err
}

// promised cosigns a statement of the chain.
func (a *Aggregator) promised(s *protocol.Statement) (sig protocol.Cosignature, err error) {
	x, err := aggregate.StatementPromise(s)
	if err == nil {
		err = a.promise(x)
	}
	if err != nil {
		return sig, err
	}
	return a.cosign(s), nil
}
