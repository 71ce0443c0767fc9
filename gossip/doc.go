// Package gossip is the network of one run: it finds peers, floods small messages over topics, answers calls, carries
// raw streams and moves blobs, all over go-libp2p (TCP and QUIC) with the peer's one secp256k1 key as its identity.
//
//	h, err := gossip.New(gossip.Config{Key: key, Run: runID, Bootstrap: link.Addrs})
//	topic, err := h.Join(gossip.TopicCommit, validator.Commit)
//	sub, err := topic.Subscribe(256)
//	m, err := sub.Next(ctx) // m.Data has passed the validator
//
// # Guarantees
//
//   - Every connection, message and call has an authenticated protocol.PeerID; peers with other keys are turned away.
//   - A message is delivered and forwarded only after its validator said Accept. What cannot be judged yet is held, not
//     lost (verdict Later). What a full subscription drops is counted and logged.
//   - A blob is returned by Fetch only if it is exactly the one that the digest names.
//   - Everything that a peer can send is bounded: see the table. Nothing listens beyond loopback unless told to.
//
// Gossip is best effort: a message can be lost with its neighbours. What a round cannot do without is asked for again
// with Call.
//
// # Bounds
//
//	message                     1 MiB (protocol.MaxMessage)
//	messages from a neighbour   Config.MessageRate and ByteRate, before their signatures are checked
//	held messages               Config.HoldBytes, each counted as 128 KiB at least; one neighbour a quarter; Config.HoldFor
//	queue to one neighbour      256 RPCs; queue to validation 512 messages; validations under way 2048
//	calls and streams inbound   16 per peer, 512 overall, 256 of strangers (Host.Favour); request and response sizes by name; Config.CallTimeout
//	calls outward               8 per peer, 256 overall; more wait
//	connections                 trimmed to Config.Peers from twice that, members last; libp2p's resource manager above it
//	peer exchange               32 signed records of 2 KiB and 16 addresses
//	address book                128 signed records, in Config.Book
//	DHT                         20 peers a bucket; 256 records of members for half an hour, of no other key; lookups of 20 s
//	local network               16 found peers waiting to be dialled
//	probes answered             1 MiB each way, 8 MiB a minute for a peer and 32 MiB for all, 4096 peers a minute
//	relay                       64 places, 8 per IP address, 4 connections each, of 16 MiB each way and 10 minutes
//	blob                        4 GiB; pieces of 512 KiB, each with its path; hashes of 65,536 pieces cached
//	pieces uploaded             8 at once, 4 to one peer; 64 wait, 8 of one peer, 4 s at most, the others are sent away; Config.Up
//	pieces fetched              from 16 sources at once, 6 from each; Config.Down; 15 s without a byte end a request
//	announcements               16 forwarded per blob, of blobs that the run needs now; 16 blobs, 64 peers each, 256 early ones
//	misconduct remembered       4096 peers
//
// # Discovery and reach
//
// Peers are found through the addresses of Config.Bootstrap, peer exchange with neighbours, the address book of earlier
// starts, a Kademlia DHT of the run's own, and multicast DNS on the local network. A host that listens on loopback only opens
// connections and is reached by nobody (ReachOut). Beyond that AutoNAT finds out whether others can dial it: a public host
// serves the DHT and relays within the bounds above; a private one holds places at two relays, and a connection through a
// relay is replaced by a direct one where a hole can be punched (DCUtR, over QUIC). Gossip does not go through relays, calls do.
//
// # Wire formats
//
// Topics are /drystone/1/RUNID/NAME with NAME control, commit, cert or shard/N, on gossipsub 1.2 under the protocol
// /drystone/1/gossip/1.2.0, each message signed by its publisher (StrictSign). Message ID = SHA-256(topic 0x00 data).
// Protocols of a run are /drystone/1/RUNID/call/NAME and /drystone/1/RUNID/stream/NAME; a stream is raw bytes, and a call is
//
//	            +--------------+===============+
//	request     | length u32   | length bytes  |
//	            +--------------+===============+
//	            +------+--------------+===============+
//	response    | code | length u32   | length bytes  |     code 0: the response; else one line of UTF-8, at most 512 bytes
//	            +------+--------------+===============+
//
// with big-endian numbers, one call per stream. blob.go draws the calls of the blob exchange, announce.go the message that
// tells who has a blob, records.go the call of peer exchange, probe.go that which
// measures the way to a peer, link.go the run link.
//
// # Blobs
//
// A blob travels in pieces of 512 KiB, which a path of the Merkle tree proves one by one, so that a peer serves on what it
// has of a blob before it has the whole. Who fetches draws from up to sixteen sources side by side, the rarest piece first;
// they tell with each answer which pieces they have. A donor serves a few pieces at a time, one for each peer in turn, and
// sends away whom it would keep waiting, saying when to come back.
//
// # Scores
//
// Gossipsub's score of a neighbour (GossipSub v1.1, "Peer scoring") is the sum of three things: ten times the square of the
// messages that it forwarded and that were rejected, which decays by a twentieth every second; broken promises of
// gossip beyond six, ten times their square; and the points of its conduct, which halve in two minutes:
//
//	100    data that does not match its digest, or a malformed answer, in the blob exchange
//	30     a stalled stream there
//	10     a piece that it said it had and does not give; 30 more for saying again that it has it
//	0.5    a message of its own to a round long over (verdict Stale); 0.05 for passing on another's
//	0.01   a message beyond its rate
//
// Below -50 it hears no gossip, below -100 it is sent no own messages, below -200 nothing of it is read. From 50
// points of misconduct on it is not served blobs, and asked for them only if nobody else has any. What cannot be judged yet
// costs nothing (Later, Ignore): a peer that is a round behind passes on what is late without knowing. One that is many
// rounds behind can be made to pass on the old statements that it lacks, five a round, which is why those cost so little.
// Delivery quotas are off, because trainers publish and forward nothing, and so is colocation, because a home has many
// peers behind one address.
//
// # Goroutines
//
//	libp2p, gossipsub    many; started by New, ended by Close
//	discovery, records   one each per host; started by New, ended by Close; discovery waits for the dials that it starts
//	reach, lookup, lan   the same; lan only beyond loopback
//	DHT                  its own; started by New, ended by Close
//	validators           gossipsub starts one per message under validation; ended by its verdict, HoldFor or Close
//	handlers             libp2p starts one per inbound call or stream; Close cancels them and waits
//	fetch workers        one per source; started by Fetch, ended before it returns
//	piece requests       one per piece under way; ended by its answer, another source's, 15 s without a byte, or Close
package gossip
