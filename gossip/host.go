package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"

	"drystone/protocol"
)

// ErrClosed means that the Host has been closed.
var ErrClosed = errors.New("the host is closed")

// Host is one peer on the network of one run. It is safe for concurrent use. Close it.
type Host struct {
	cfg    Config
	id     protocol.PeerID
	lib    host.Host
	pubsub *pubsub.PubSub

	ctx    context.Context // ends at Close; parent of every handler
	cancel context.CancelFunc
	tasks  sync.WaitGroup // the discovery goroutine and running handlers
	wake   chan struct{}  // capacity 1: discovery should look again

	started chan struct{} // closed when lib is set

	streams   *signal // a peer's subscription, pubsub stream or mesh link comes or goes
	quota     *quota
	dropped   counter
	standings standings
	hold      *hold
	inbound   *inflight // calls and streams that peers opened to us
	outward   *inflight // calls that we make
	blobs     blobExchange
	book      recordBook
	saved     *addressBook
	finder    *finder
	reach     reaching
	probes    probeBudget

	flows flows
	calls callTimes

	favouring sync.Mutex

	mu     sync.Mutex
	closed bool
	topics map[string]*Topic
}

// New starts a host: it listens, and from then on keeps the bootstrap peers connected. It does not wait for them. An
// error names the address that could not be listened on, usually because the port is taken.
func New(cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	boot, err := parseAddrs(cfg.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("gossip: bootstrap: %w", err)
	}
	h := &Host{
		cfg: cfg, id: cfg.Key.ID(),
		wake:    make(chan struct{}, 1),
		started: make(chan struct{}),
		streams: newSignal(),
		dropped: counter{log: cfg.Logger, what: "message dropped: too many wait for validation"},
		hold:    newHold(cfg.HoldBytes),
		inbound: newInflight(maxInboundPerPeer, maxInbound),
		outward: newInflight(maxOutwardPerPeer, maxOutward),
		blobs:   newBlobExchange(cfg),
		book:    recordBook{records: map[peer.ID][]byte{}},
		saved:   openBook(cfg.Book, cfg.Logger),
		topics:  map[string]*Topic{},
	}
	h.quota = newQuota(cfg.MessageRate, cfg.ByteRate, h.blobs.conduct.flooded, cfg.Logger)
	opts := append(reachOptions(cfg, h.relays, &h.reach), libp2p.BandwidthReporter(&h.flows))
	if h.lib, err = newLibp2p(cfg, opts); err != nil {
		return nil, err
	}
	close(h.started)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if err := h.start(boot); err != nil {
		h.cancel()
		return nil, errors.Join(err, h.shut())
	}
	return h, nil
}

// start puts everything in place before the first peer can connect.
func (h *Host) start(boot []peer.AddrInfo) error {
	ps, err := newPubSub(h)
	if err != nil {
		return fmt.Errorf("gossip: pubsub: %w", err)
	}
	h.pubsub = ps
	watch, err := h.watchRecords()
	if err != nil {
		return err
	}
	reach, err := h.watchReach()
	if err != nil {
		return err
	}
	h.Handle(peersCall, 0, h.servePeers)
	h.Handle(probeCall, 4+maxProbe, h.serveProbe)
	h.lib.Network().Notify(h.watchLinks())
	if h.finder, err = h.newFinder(); err != nil {
		return err
	}
	if err := listen(h.lib, h.cfg.Listen); err != nil {
		return err
	}
	h.tasks.Go(watch)
	h.tasks.Go(reach)
	h.tasks.Go(func() { h.discover(boot) })
	h.tasks.Go(h.lookup)
	h.startLAN()
	return nil
}

// shut ends what libp2p runs.
func (h *Host) shut() error {
	var err error
	if h.finder != nil {
		err = h.finder.dht.Close()
	}
	return errors.Join(err, h.lib.Close())
}

// listen takes every address or none: a run link must not promise a transport that failed.
func listen(lib host.Host, addrs []string) error {
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return fmt.Errorf("gossip: listen address %q: want a multiaddr such as /ip4/0.0.0.0/tcp/4001: %w", clip(s), err)
		}
		if err := lib.Network().Listen(a); err != nil {
			return fmt.Errorf("gossip: cannot listen on %s: choose another address or port: %w", s, oneLine(err))
		}
	}
	return nil
}

// oneLine keeps the wrapped error and shows it on one line: libp2p lists failures on several.
func oneLine(err error) error { return flatError{err} }

type flatError struct{ error }

func (e flatError) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e flatError) Unwrap() error { return e.error }

// Close leaves the run: it ends every subscription, stream and handler, and returns when they have ended. A second call
// does nothing.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	err := h.shut()
	h.tasks.Wait()
	h.saved.save()
	if err != nil {
		return fmt.Errorf("gossip: close: %w", oneLine(err))
	}
	return nil
}

// begin counts a task in, unless the host is closed. The caller calls h.tasks.Done after it.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.tasks.Add(1)
	}
	return !h.closed
}

// ID returns the peer's key, which is also its libp2p identity.
func (h *Host) ID() protocol.PeerID { return h.id }

// Addrs returns the announced multiaddrs, each ending in /p2p/ID: what a run link holds.
func (h *Host) Addrs() []string {
	var out []string
	for _, a := range h.lib.Addrs() {
		out = append(out, a.String()+"/p2p/"+h.lib.ID().String())
	}
	return out
}

// Link returns the run link that leads to this host.
func (h *Host) Link() Link {
	addrs := h.Addrs()
	return Link{Run: h.cfg.Run, Addrs: addrs[:min(len(addrs), maxLinkAddrs)]}
}

// Peers returns the connected peers in order of their ID.
func (h *Host) Peers() []protocol.PeerID {
	var out []protocol.PeerID
	for _, id := range h.lib.Network().Peers() {
		if p, err := PeerIDToProtocol(id); err == nil {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b protocol.PeerID) int { return slices.Compare(a[:], b[:]) })
	return out
}

// Connect dials the peers at these multiaddrs, one after the other. It succeeds when at least one is connected;
// otherwise the error has one line per address.
func (h *Host) Connect(ctx context.Context, addrs []string) error {
	infos, err := parseAddrs(addrs)
	if err != nil {
		return fmt.Errorf("gossip: connect: %w", err)
	}
	if len(infos) == 0 {
		return errors.New("gossip: connect: no address given")
	}
	var errs []error
	for _, info := range infos {
		if info.ID == h.lib.ID() {
			errs = append(errs, errors.New("gossip: connect: the address is our own"))
		} else if err := h.lib.Connect(ctx, info); err != nil {
			errs = append(errs, fmt.Errorf("gossip: connect to %s: %w", info.ID, oneLine(err)))
		}
	}
	if len(errs) == len(infos) {
		return errors.Join(errs...)
	}
	h.lookAgain()
	return nil
}

// Disconnect closes every connection to a peer.
func (h *Host) Disconnect(p protocol.PeerID) error {
	id, err := PeerIDFromProtocol(p)
	if err != nil {
		return err
	}
	if err := h.lib.Network().ClosePeer(id); err != nil {
		return fmt.Errorf("gossip: disconnect %s: %w", p.Short(), err)
	}
	return nil
}

// protocolID names a libp2p protocol of this run: /drystone/1/RUNID/KIND/NAME.
func (h *Host) protocolID(kind, name string) libp2pproto.ID {
	return libp2pproto.ID("/drystone/1/" + h.cfg.Run.String() + "/" + kind + "/" + name)
}

// openStream dials p if need be and opens a stream; ctx bounds both.
func (h *Host) openStream(ctx context.Context, p protocol.PeerID, proto libp2pproto.ID) (network.Stream, error) {
	if h.ctx.Err() != nil {
		return nil, ErrClosed
	}
	id, err := PeerIDFromProtocol(p)
	if err != nil {
		return nil, err
	}
	if id == h.lib.ID() {
		return nil, errors.New("the peer is this host itself")
	}
	// A relayed connection is better than none: the relay bounds what goes over it.
	s, err := h.lib.NewStream(network.WithAllowLimitedConn(ctx, "drystone"), id, proto)
	if err != nil {
		return nil, oneLine(err)
	}
	return s, nil
}

const dialTimeout = 15 * time.Second
