package node

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"drystone/gossip"
	"drystone/protocol"
)

// A newcomer whose only address is an aggregator that shows the past of the run has, when it is ready, at least what the
// others had when it came.
func TestNewcomerIsNotShownThePast(t *testing.T) {
	cfg := tinyConfig(t, 11, 64, 2, nil)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	eventually(t, ctx, l.Aggregators[1].history, protocol.KindCertificate, 1)
	liar := l.Aggregators[0]
	liar.host.Handle(callStatements, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		var r statementsRequest
		if err := protocol.Decode(req, maxSmall, &r); err != nil {
			return nil, err
		}
		past := statementsResponse{List: []protocol.SignedStatement{}}
		for i := r.From; i <= 4; i++ { // to the Certificate of round 0
			past.List = append(past.List, *liar.history.at(i))
		}
		return protocol.Encode(past)
	})
	before := l.Aggregators[1].history.rounds()
	ready := make(chan uint32, 1)
	late, err := OpenTrainer(ctx, TrainerConfig{Config: Config{Key: protocol.DeriveKey(11, "late"), Dir: filepath.Join(cfg.Dir, "late"), Device: l.Device,
		OnEvent: func(e Event) {
			if e.Kind == EventReady {
				ready <- e.Round
			}
		}}}, gossip.Link{Run: l.Link.Run, Addrs: liar.host.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if round := <-ready; round < before {
		t.Errorf("ready in round %d, and %d were certified before", round, before)
	}
}

// A newcomer that reaches fewer aggregators than sign does not ask for a place, and says why.
func TestNewcomerWaitsForQuorum(t *testing.T) {
	cfg := tinyConfig(t, 12, 64, 2, nil)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	eventually(t, ctx, l.Aggregators[1].history, protocol.KindCertificate, 0)
	for _, a := range l.Aggregators[:2] { // two of four are left, three must answer
		a.host.Handle(callStatements, maxSmall, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
			return nil, gossip.Errorf(gossip.CodeRefused, "no")
		})
	}
	join, stop := context.WithCancel(ctx)
	defer stop()
	late, err := OpenTrainer(join, TrainerConfig{Config: Config{Key: protocol.DeriveKey(12, "late"), Dir: filepath.Join(cfg.Dir, "late"), Device: l.Device,
		OnEvent: func(e Event) {
			if e.Kind == EventWaiting && strings.Contains(e.Text, "2 of 4 aggregators answer, 3 must") {
				stop()
			}
		}}}, gossip.Link{Run: l.Link.Run, Addrs: l.Aggregators[3].host.Addrs()})
	if err == nil {
		late.Close()
	}
	if !errors.Is(err, errStale) {
		t.Fatalf("%v, want %v", err, errStale)
	}
}
