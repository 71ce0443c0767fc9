package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"

	"drystone/gossip"
	"drystone/internal/exact"
	"drystone/internal/gpu"
	"drystone/protocol"
	"drystone/trainer"
)

// Config is what every role of a run needs.
type Config struct {
	Key      protocol.Key
	Dir      string       // data directory, for this process alone
	Listen   []string     // multiaddrs; default: those of the last start, else loopback with any free port
	Announce []string     // multiaddrs to announce instead, such as a router's public address
	Peers    []string     // multiaddrs ending in /p2p/ID of members known besides those of the run link
	Reach    gossip.Reach // how others can reach this peer; default ReachPublic for aggregators, else ReachAuto
	NoLAN    bool         // stay silent on the local network
	Threads  int          // of the compute device; default 1
	Up, Down float64      // Mbit/s of blobs that are sent to peers and fetched from them; default unlimited
	// OpenCard, if not nil, opens the card that steps of the own device run on. If it fails later, AwaitCard says whether to sit
	// rounds out until it can be opened again, or to go on on the processor. If it does not work at the start, that is an
	// error, or with CardOptional the same as if it failed later.
	OpenCard                func() (exact.Kernels, error)
	AwaitCard, CardOptional bool
	// Pace, if not nil, is called before every step of training and of a check, and holds it up until it returns. Its error
	// should be that of its context.
	Pace func(context.Context) error
	// Cards, if not nil, reads the machine's cards for metrics, also while another call runs.
	Cards func() ([]gpu.Card, error)
	// Device, if not nil, is shared with other roles of this process and stays open; Threads, OpenCard and Pace are then unused.
	Device *trainer.Device
	// Data is the dataset, which the founder alone brings along; the others fetch it.
	Data []byte
	Log  *slog.Logger // default discards
	// Network, if not nil, stands in place of the system's network, as in gossip.Config.
	Network libp2p.Option
	peers   int // connections to aim for; 0 for gossip's default
	// OnListen, if not nil, is called once with the run link that leads here, as soon as the network is up.
	OnListen func(gossip.Link)
	// OnEvent, if not nil, is called with what happens, one call at a time. It must be quick.
	OnEvent func(Event)
	// OnPulse, if not nil, is called every second with what the network does, one call at a time, at times beside OnEvent. It
	// must be quick.
	OnPulse func(Pulse)

	trained   func()        // called when a round is trained; in a simulation it waits for as long as that would have taken
	undivided bool          // every aggregator gathers and merges everything, whatever the quorum; tests compare with it
	lookEvery time.Duration // how often the network is looked at for splits; default watchEvery, tests set it
}

func (c *Config) fill() error {
	if c.Dir == "" {
		return errors.New("node: no data directory; name one with --dir")
	}
	if c.Threads == 0 {
		c.Threads = 1
	}
	if c.Threads < 0 || c.Threads > 1024 {
		return fmt.Errorf("node: %d threads, want 1 to 1024", c.Threads)
	}
	for _, rate := range []float64{c.Up, c.Down} {
		if rate != 0 && !(rate >= minRate && rate <= maxRate) {
			return fmt.Errorf("node: an upload or download limit of %g Mbit/s; want 0 for none, or %g to %g (--up, --down)", rate, minRate, maxRate)
		}
	}
	if c.lookEvery == 0 {
		c.lookEvery = watchEvery
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Bounds of Config.Up and Down in Mbit/s. Below, a piece of a blob would take longer than its fetcher waits.
const (
	minRate = 0.5
	maxRate = 1e6
)

func bytesPerSecond(mbit float64) int64 { return int64(mbit * 1e6 / 8) }

// Event is something that a person watching a run wants to see.
type Event struct {
	Time  time.Time
	Kind  EventKind
	Round uint32
	Peer  protocol.PeerID // whom it concerns; zero for the run as a whole
	Step  uint32          // EventStep: inner steps done
	Loss  float64         // EventStep, EventTrained: training loss, in nats per token or as the family has it
	Count uint64          // tokens (EventStep, EventTrained), bytes sent (EventRevealed), receipts (EventCommitted), epoch (EventSettled)
	Text  string          // one line for people
	// Application is what the founder needs to take this aggregator in (EventOutside); see ParseApplication.
	Application string
}

// EventKind says what happened.
type EventKind string

// Kinds of events.
const (
	EventWaiting   EventKind = "waiting"   // for aggregators or peers
	EventReady     EventKind = "ready"     // a trainer has what the next round needs
	EventOpen      EventKind = "open"      // a round began
	EventStep      EventKind = "step"      // a trainer did an inner step
	EventTrained   EventKind = "trained"   // a trainer finished its steps
	EventCommitted EventKind = "committed" // a trainer's commit has receipts enough, or is frozen
	EventOmitted   EventKind = "omitted"   // a commit was left out in spite of receipts, and a file of evidence says by whom
	EventFrozen    EventKind = "frozen"    // the commits of a round are closed
	EventRevealed  EventKind = "revealed"  // the RevealSet is fixed
	EventCertified EventKind = "certified" // the round has a result
	EventVerdict   EventKind = "verdict"   // a check ended
	EventConvicted EventKind = "convicted" // a contribution is refuted
	EventSettled   EventKind = "settled"   // an epoch's payouts are signed
	EventPaid      EventKind = "paid"      // an epoch's payouts stand on the chain
	EventRefunded  EventKind = "refunded"  // what the run did not earn is back at the sponsor's
	EventCaughtUp  EventKind = "caught up" // an aggregator that was away has what it missed of the transparency log
	EventCouncil   EventKind = "council"   // the aggregators changed, or the contract is handed over to the new set
	EventEnd       EventKind = "end"       // the founder stopped the run
	EventPaused    EventKind = "paused"    // the founder paused the run, or it goes on
	EventOutside   EventKind = "outside"   // an aggregator that the council does not have reads along
	EventFinished  EventKind = "finished"  // the run is over
	EventWarning   EventKind = "warning"   // something needs attention
	EventSplit     EventKind = "split"     // the network looks split or this machine cut off, or that is over
	EventFew       EventKind = "few"       // a round has too few contributors for a merge rule to protect it
)

// retry calls fn until it succeeds or ctx ends, pausing between attempts. It returns ctx's error joined with the last
// failure.
func retry(ctx context.Context, pause time.Duration, fn func() error) error {
	for {
		err := fn()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if !waitFor(ctx, pause) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// waitFor waits and reports whether ctx is still alive.
func waitFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
