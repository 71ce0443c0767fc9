package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/models"
	"drystone/protocol"
	"drystone/trainer"
)

// member is what trainers and aggregators have in common: a locked directory, the RunSpec, a place on the network, the
// verified statement chain, and blobs.
type member struct {
	cfg     Config
	run     protocol.Digest
	spec    *protocol.RunSpec
	params  int
	host    *gossip.Host
	blobs   *durable.Store
	history *history
	haves   *gossip.Haves // nil for who only looks
	trouble trouble
	unlock  func() error

	device    *trainer.Device
	ownDevice bool

	events sync.Mutex // serialises OnEvent
	told   tally      // events by kind
	few    fewSaid

	ctx    context.Context // ended by close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	closing  sync.Once
	closeErr error
}

// open starts a member of the run that the link names. spec may be nil: it is then read from the directory or fetched
// from the link's peers.
func (m *member) open(ctx context.Context, cfg Config, link gossip.Link, spec *protocol.RunSpec) (err error) {
	if err := cfg.fill(); err != nil {
		return err
	}
	m.cfg, m.run, m.spec = cfg, link.Run, spec
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if m.unlock, err = durable.Lock(cfg.Dir); err != nil {
		return err
	}
	if err := m.checkRun(); err != nil {
		return err
	}
	if m.blobs, err = durable.OpenStore(m.path("blobs")); err != nil {
		return err
	}
	if err := m.listen(link); err != nil {
		return err
	}
	if cfg.OnPulse != nil {
		m.spawn(m.beat)
	}
	if err := m.loadSpec(ctx, link); err != nil {
		return err
	}
	if _, m.params, err = models.Layout(m.spec.Model); err != nil {
		return err
	}
	if size := protocol.MaxOpening(m.params, m.spec.Verify.Chunks); m.spec.Verify.Kind == "segment" && size > maxOpening {
		return fmt.Errorf("%w: verify.kind = \"segment\" opens up to %d bytes for a model of %d parameters, limit %d; set verify.kind = \"prefix\"", protocol.ErrBadSpec, size, m.params, maxOpening)
	}
	if m.history, err = openHistory(m.path("statements"), m.spec, m.run, false); err != nil {
		return err
	}
	if len(cfg.Data) > 0 {
		if err := storeCorpus(m.blobs, cfg.Data); err != nil {
			return err
		}
	}
	m.serveBasics()
	if cfg.OnListen != nil {
		cfg.OnListen(m.host.Link())
	}
	return nil
}

func (m *member) path(name ...string) string {
	return filepath.Join(append([]string{m.cfg.Dir}, name...)...)
}

// checkRun binds the directory to one run: data of two runs must never mix.
func (m *member) checkRun() error {
	path := m.path("run")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return durable.WriteFile(path, []byte(m.run.String()+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	have, err := protocol.ParseDigest(string(text[:min(len(text), 64)]))
	if err != nil {
		return fmt.Errorf("data directory %s: the file \"run\" is damaged; use another directory with --dir: %w", m.cfg.Dir, err)
	}
	if have != m.run {
		return fmt.Errorf("data directory %s belongs to run %s, not %s; use another directory with --dir", m.cfg.Dir, have.Short(), m.run.Short())
	}
	return nil
}

// listen starts the host on the configured addresses, or on those of the last start so that links stay valid.
func (m *member) listen(link gossip.Link) error {
	listen, saved := m.cfg.Listen, m.path("listen.json")
	keep := len(listen) == 0
	if keep {
		if data, err := os.ReadFile(saved); err == nil {
			if err := json.Unmarshal(data, &listen); err != nil {
				return fmt.Errorf("%s is damaged; delete it: %w", saved, err)
			}
		}
	}
	host, err := gossip.New(gossip.Config{
		Key: m.cfg.Key, Run: m.run, Listen: listen, Announce: m.cfg.Announce,
		Bootstrap: append(m.others(link.Addrs), m.others(m.cfg.Peers)...),
		Reach:     m.cfg.Reach, NoLAN: m.cfg.NoLAN, Book: m.path("peers"), CallTimeout: 2 * time.Minute, Logger: m.cfg.Log,
		Up: bytesPerSecond(m.cfg.Up), Down: bytesPerSecond(m.cfg.Down), Network: m.cfg.Network,
		Peers: m.cfg.peers,
	})
	if err != nil {
		return err
	}
	m.host = host
	if !keep {
		return nil
	}
	var bound []string
	for _, a := range host.Addrs() {
		bound = append(bound, strings.TrimSuffix(a, "/p2p/"+m.cfg.Key.ID().String()))
	}
	data, err := json.Marshal(bound)
	if err != nil {
		return err
	}
	return durable.WriteFile(saved, data, 0o600)
}

// others leaves out this peer's own addresses.
func (m *member) others(addrs []string) []string {
	var out []string
	for _, a := range addrs {
		if id, err := addrPeer(a); err == nil && id != m.cfg.Key.ID() {
			out = append(out, a)
		}
	}
	return out
}

// loadSpec reads the RunSpec from the directory or asks the link's peers for it, and keeps it.
func (m *member) loadSpec(ctx context.Context, link gossip.Link) error {
	path := m.path("spec.cbor")
	if m.spec == nil {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			data, err = m.fetchSpec(ctx, link)
		}
		if err != nil {
			return err
		}
		if m.spec, err = protocol.DecodeSpec(data, m.run); err != nil {
			return fmt.Errorf("run spec of %s: %w", m.run.Short(), err)
		}
	}
	data, err := protocol.Encode(m.spec)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, data, 0o600)
}

func (m *member) fetchSpec(ctx context.Context, link gossip.Link) ([]byte, error) {
	if err := m.enter(ctx, link); err != nil {
		return nil, err
	}
	last := errors.New("nobody to ask")
	for _, p := range m.entrances(link) {
		data, err := m.host.Call(ctx, p, callSpec, nil, protocol.MaxSpec)
		if err == nil {
			return data, nil
		}
		last = err
	}
	return nil, fmt.Errorf("fetch run spec: %w", last)
}

// serveBasics answers what every member answers: the spec, the statement chain, blobs.
func (m *member) serveBasics() {
	m.host.ServeBlobs(m.blobs)
	m.serveHead()
	m.host.Handle(callSpec, 0, func(context.Context, protocol.PeerID, []byte) ([]byte, error) {
		return protocol.Encode(m.spec)
	})
	m.host.Handle(callStatements, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		var r statementsRequest
		if err := protocol.Decode(req, maxSmall, &r); err != nil {
			return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
		}
		return m.history.encodeFrom(r.From, maxStatements/2)
	})
}

// loadData reads the dataset, from disk where it is already and else from the run's peers, and opens the device.
func (m *member) loadData(ctx context.Context, sources func() []protocol.PeerID) error {
	if m.cfg.Device != nil {
		m.device = m.cfg.Device
		return nil
	}
	get := m.getter(sources)
	manifest, err := get(ctx, m.spec.Data.Manifest, protocol.MaxManifest)
	if err != nil {
		return fmt.Errorf("dataset manifest: %w", err)
	}
	parsed, err := protocol.DecodeManifest(manifest)
	if err != nil {
		return fmt.Errorf("dataset manifest: %w", err)
	}
	data, err := trainer.LoadDataset(ctx, m.spec.Data, parsed, func(ctx context.Context, d protocol.Digest) ([]byte, error) {
		return get(ctx, d, protocol.ChunkSize)
	})
	if err != nil {
		return err
	}
	m.device, err = trainer.NewDevice(m.spec, m.run, data, m.cfg.Threads)
	if err != nil {
		return err
	}
	m.ownDevice = true
	m.device.Pace(m.cfg.Pace)
	return nil
}

// emit reports an event.
func (m *member) emit(e Event) {
	m.told.add(string(e.Kind), float64(e.Count))
	if m.cfg.OnEvent == nil {
		return
	}
	e.Time = time.Now()
	m.events.Lock()
	defer m.events.Unlock()
	m.cfg.OnEvent(e)
}

// spawn runs fn in a goroutine that close waits for.
func (m *member) spawn(fn func(ctx context.Context)) {
	m.tasks.Add(1)
	go func() {
		defer m.tasks.Done()
		fn(m.ctx)
	}()
}

// close ends the member's goroutines and releases what it holds, also after a failed open. A second close does nothing.
func (m *member) close() error {
	m.closing.Do(func() { m.closeErr = m.shut() })
	return m.closeErr
}

func (m *member) shut() error {
	if m.cancel != nil {
		m.cancel()
	}
	var errs []error
	if m.host != nil {
		errs = append(errs, m.host.Close())
	}
	m.tasks.Wait()
	if m.ownDevice {
		m.device.Close()
	}
	if m.unlock != nil {
		errs = append(errs, m.unlock())
	}
	return errors.Join(errs...)
}
