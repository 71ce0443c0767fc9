package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p"

	"drystone/protocol"
)

// Bounds of everything that a peer can send.
const (
	MaxPeers    = 4096     // largest Config.Peers
	maxErrLine  = 512      // bytes of an error line in a response
	minRate     = 32 << 10 // smallest limit of blob traffic: a piece must arrive within a call's time
	maxRequest  = 16 << 20
	maxResponse = 64 << 20
)

// defaultListen is loopback only, on ports that the system picks.
var defaultListen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}

// Config says who a Host is and what it may spend. Key and Run are required; zero means the default elsewhere.
type Config struct {
	Key protocol.Key    // the peer's one key: libp2p identity and signer of messages
	Run protocol.Digest // RunID; hosts of different runs share no topic and no protocol

	Listen    []string // multiaddrs to listen on; default loopback, TCP and QUIC, any free port
	Announce  []string // multiaddrs to announce in place of the ones listened on, such as a router's public address
	Bootstrap []string // multiaddrs ending in /p2p/ID, kept connected for as long as the host lives

	Reach Reach  // how others can reach the host; default ReachAuto
	Book  string // file that remembers peers over restarts; default none
	NoLAN bool   // do not look for members, nor be found, by multicast DNS on the local network

	Peers       int           // connections to aim for and to trim back to; default 64
	MessageRate int           // messages per second that one neighbour may forward, twice that in a burst; default 1000
	ByteRate    int           // bytes per second that one neighbour may forward, twice that in a burst; default 64 MiB
	HoldFor     time.Duration // how long a message with verdict Later waits; default 30 s
	HoldBytes   int           // bytes of waiting messages, of which one neighbour may use a quarter; default 128 MiB
	Up, Down    int64         // bytes per second of all blobs that we send and receive; default unlimited
	CallTimeout time.Duration // one request and its response, on either side; default 30 s

	Logger *slog.Logger // default discards

	Network libp2p.Option // QUIC over another network, such as a simulated one, in place of TCP and QUIC over the system's
}

// withDefaults returns cfg complete and checked.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Key == (protocol.Key{}) {
		return cfg, errors.New("gossip: Config.Key is required")
	}
	if cfg.Run.IsZero() {
		return cfg, errors.New("gossip: Config.Run is required")
	}
	if len(cfg.Listen) == 0 {
		cfg.Listen = defaultListen
	}
	if err := cfg.resolveReach(); err != nil {
		return cfg, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&cfg.Peers, 64)
	orDefault(&cfg.MessageRate, 1000)
	orDefault(&cfg.ByteRate, 64<<20)
	orDefault(&cfg.HoldFor, 30*time.Second)
	orDefault(&cfg.HoldBytes, 128<<20)
	orDefault(&cfg.CallTimeout, 30*time.Second)
	switch {
	case cfg.Peers < 1 || cfg.Peers > MaxPeers:
		return cfg, fmt.Errorf("gossip: Config.Peers is %d, want 1 to %d", cfg.Peers, MaxPeers)
	case cfg.MessageRate < 1 || cfg.ByteRate < protocol.MaxMessage:
		return cfg, fmt.Errorf("gossip: Config.MessageRate is %d and ByteRate %d, want at least 1 and %d",
			cfg.MessageRate, cfg.ByteRate, protocol.MaxMessage)
	case cfg.Up < 0 || cfg.Down < 0 || cfg.Up > 0 && cfg.Up < minRate || cfg.Down > 0 && cfg.Down < minRate:
		return cfg, fmt.Errorf("gossip: Config.Up is %d and Down %d, want 0 or at least %d bytes per second", cfg.Up, cfg.Down, minRate)
	case cfg.HoldFor < 0 || cfg.CallTimeout < 0 || cfg.HoldBytes < 0:
		return cfg, errors.New("gossip: Config.HoldFor, HoldBytes and CallTimeout must not be negative")
	}
	return cfg, nil
}

// simulated reports whether the host runs on a test's network.
func (cfg *Config) simulated() bool { return cfg.Network != nil }

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
