package protocol

import (
	"errors"
	"slices"
	"testing"
)

// accept makes the entry and the acceptance of a key.
func (w *world) accept(k Key) Signed[Accept] {
	id := k.ID().String()
	return Sign(k, Accept{Run: w.run, Aggregator: Aggregator{ID: k.ID(), BLS: pattern96(id), Proof: pattern48(id), Addrs: []string{"/ip4/127.0.0.1/tcp/4001/p2p/" + id}}})
}

// newCouncil makes the Council statement that replaces one member of the set by another; zero keys stand for nobody.
func (w *world) newCouncil(prev *Statement, round uint32, set []Aggregator, threshold int) Statement {
	return NewStatement(w.run, round, prev.Digest(), NewCouncil{Aggregators: set, Threshold: uint32(threshold), Control: Hash("control")})
}

func with(set []Aggregator, a Aggregator) []Aggregator {
	out := append(slices.Clone(set), a)
	slices.SortFunc(out, func(a, b Aggregator) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out
}

// The table of docs/protocol.md: how the threshold follows the size of the council.
func TestQuorumOf(t *testing.T) {
	for _, tt := range []struct {
		n, t int   // of the spec
		want []int // of 1, 2, 3, ... members
	}{
		{4, 3, []int{1, 2, 2, 3, 4, 4, 5, 5}},
		{3, 2, []int{1, 2, 2, 3, 3, 4, 4, 5}},
		{7, 5, []int{1, 2, 2, 3, 4, 4, 5, 6}},
		{4, 4, []int{1, 2, 3, 4, 4, 5, 5, 6}},
		{1, 1, []int{1, 2, 2, 3, 3, 4, 4, 5}},
	} {
		q := QuorumSpec{Aggregators: tt.n, Threshold: tt.t}
		for i, want := range tt.want {
			if got := q.Of(i + 1); got != want {
				t.Errorf("%d of %d with %d members: threshold %d, want %d", tt.t, tt.n, i+1, got, want)
			}
		}
	}
}

// For every spec that Validate admits: the spec's own size keeps its threshold, every size has a majority that it can
// reach, and it outvotes as many liars as the spec's does where it has members enough for that (DESIGN, section 4).
func TestQuorumOfProperties(t *testing.T) {
	for n := 1; n <= MaxSigners; n++ {
		for th := n/2 + 1; th <= n; th++ {
			q := QuorumSpec{Aggregators: n, Threshold: th}
			if q.Of(n) != th {
				t.Fatalf("%d of %d: the same size has threshold %d", th, n, q.Of(n))
			}
			for m := 1; m <= MaxSigners; m++ {
				next := QuorumSpec{Aggregators: m, Threshold: q.Of(m)}
				if next.Threshold <= m/2 || next.Threshold > m {
					t.Fatalf("%d of %d with %d members: threshold %d", th, n, m, next.Threshold)
				}
				if want := min(q.Faults(), (m-1)/3); 2*next.Threshold-m-1 < want {
					t.Fatalf("%d of %d with %d members: threshold %d does not outvote %d", th, n, m, next.Threshold, want)
				}
			}
		}
	}
	if (QuorumSpec{Aggregators: 4, Threshold: 3}).Of(0) != 0 {
		t.Error("nobody has a quorum")
	}
}

func TestCouncilAfter(t *testing.T) {
	w := newWorld(t)
	prev, set := &w.chain[4], w.council.Members
	fifth, sixth := w.accept(DeriveKey(1, "agg4")).Body.Aggregator, w.accept(DeriveKey(1, "agg5")).Body.Aggregator
	moved := slices.Clone(set)
	moved[0].Addrs = []string{"/ip4/192.0.2.1/tcp/1"}
	for name, tt := range map[string]struct {
		set       []Aggregator
		threshold int
		want      error
	}{
		"add":               {with(set, fifth), 4, nil},
		"remove":            {set[1:], 2, nil},
		"replace":           {with(set[1:], fifth), 3, nil},
		"the same set":      {set, 3, ErrChain},
		"two in":            {with(with(set, fifth), sixth), 4, ErrChain},
		"two out":           {set[2:], 2, ErrChain},
		"nobody":            {nil, 0, ErrChain},
		"lower threshold":   {with(set, fifth), 3, ErrChain},
		"unordered":         {append(slices.Clone(set[1:]), set[0]), 3, ErrChain},
		"an entry changed":  {with(moved, fifth), 4, ErrChain},
		"a member twice":    {append(slices.Clone(set), set[3]), 4, ErrChain},
		"too many in a set": {slices.Repeat(set, MaxSigners), 3, ErrChain},
	} {
		s := w.newCouncil(prev, 1, tt.set, tt.threshold)
		next, err := w.council.After(w.spec, &s)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		if tt.want == nil && (next.Threshold != tt.threshold || len(next.Members) != len(tt.set) || next.Run != w.run) {
			t.Errorf("%s: council %+v", name, next)
		}
	}
	if next, err := w.council.After(w.spec, prev); err != nil || next != w.council {
		t.Errorf("after a Certificate: %v, %v", next, err)
	}
}

// A new set cannot bring itself in: the set before must sign, and only the new one counts afterwards.
func TestCouncilIsSignedByTheSetBefore(t *testing.T) {
	w := newWorld(t)
	k := DeriveKey(1, "agg4")
	s := w.newCouncil(&w.chain[4], 1, with(w.council.Members[1:], w.accept(k).Body.Aggregator), 3)
	after := cosign(s, w.aggregators[1], w.aggregators[2], k)
	if err := w.council.Verify(&after); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("signed by the new set: %v", err)
	}
	before := cosign(s, w.aggregators[0], w.aggregators[1], w.aggregators[2])
	if err := w.council.Verify(&before); err != nil {
		t.Fatal(err)
	}
	next, err := w.council.After(w.spec, &s)
	if err != nil {
		t.Fatal(err)
	}
	open := NewStatement(w.run, 1, s.Digest(), Open{})
	by := func(keys ...Key) *SignedStatement { x := cosign(open, keys...); return &x }
	if err := next.Verify(by(w.aggregators[1], w.aggregators[2], k)); err != nil {
		t.Error(err)
	}
	if err := next.Verify(by(w.aggregators[0], w.aggregators[1], w.aggregators[2])); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("signed with one who is out: %v", err)
	}
}

// What may stand between two rounds, and that nothing follows an End.
func TestFollowsBetweenRounds(t *testing.T) {
	w := newWorld(t)
	genesis, cert := &w.chain[0], &w.chain[4]
	link := func(prev *Statement, k Kind, round uint32) Statement {
		return Statement{Run: w.run, Kind: k, Round: round, Prev: prev.Digest()}
	}
	first, council := link(genesis, KindCouncil, 0), link(cert, KindCouncil, 1)
	end := link(cert, KindEnd, 1)
	for _, tt := range []struct {
		prev  *Statement
		kind  Kind
		round uint32
		ok    bool
	}{
		{genesis, KindCouncil, 0, true}, {genesis, KindEnd, 0, true}, {genesis, KindCouncil, 1, false},
		{&first, KindOpen, 0, true}, {&first, KindOpen, 1, false},
		{cert, KindCouncil, 1, true}, {cert, KindEnd, 1, true}, {cert, KindCouncil, 0, false}, {cert, KindEnd, 2, false},
		{&council, KindCouncil, 1, true}, {&council, KindEnd, 1, true}, {&council, KindOpen, 1, true},
		{&council, KindOpen, 2, false}, {&council, KindFreeze, 1, false}, {&council, KindGenesis, 1, false},
		{&end, KindOpen, 1, false}, {&end, KindOpen, 2, false}, {&end, KindCouncil, 1, false}, {&end, KindEnd, 1, false}, {&end, 8, 1, false},
		{&w.chain[1], KindCouncil, 0, false}, {&w.chain[2], KindEnd, 0, false}, {&w.chain[3], KindCouncil, 0, false},
	} {
		s := link(tt.prev, tt.kind, tt.round)
		if err := s.Follows(tt.prev); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrChain) {
			t.Errorf("%s of round %d after %s of round %d: %v", tt.kind, tt.round, tt.prev.Kind, tt.prev.Round, err)
		}
	}
}

func TestCheckControl(t *testing.T) {
	w := newWorld(t)
	k := DeriveKey(1, "agg4")
	in, out := []Signed[Accept]{w.accept(k)}, []PeerID{w.aggregators[0].ID()}
	elsewhere := Sign(k, Accept{Run: Hash("other"), Aggregator: in[0].Body.Aggregator})
	forged := in[0]
	forged.Body.Aggregator.Addrs = nil
	crowded := in[0].Body
	crowded.Aggregator.Addrs = make([]string, maxAddrs+1)
	valid := Control{Run: w.run, Founder: w.founder.ID(), Nonce: 1}
	for name, tt := range map[string]struct {
		change func(c *Control)
		want   error
	}{
		"pause":                  {func(c *Control) { c.Action = ActionPause }, nil},
		"resume":                 {func(c *Control) { c.Action = ActionResume }, nil},
		"stop":                   {func(c *Control) { c.Action = ActionStop }, nil},
		"add":                    {func(c *Control) { c.Action, c.Add = ActionAdd, in }, nil},
		"remove":                 {func(c *Control) { c.Action, c.Remove = ActionRemove, out }, nil},
		"replace":                {func(c *Control) { c.Action, c.Add, c.Remove = ActionReplace, in, out }, nil},
		"no action":              {func(c *Control) {}, ErrControl},
		"unknown action":         {func(c *Control) { c.Action = 7 }, ErrControl},
		"other run":              {func(c *Control) { c.Action, c.Run = ActionPause, Hash("other") }, ErrControl},
		"other founder":          {func(c *Control) { c.Action, c.Founder = ActionPause, w.peers[0].ID() }, ErrControl},
		"pause with members":     {func(c *Control) { c.Action, c.Add = ActionPause, in }, ErrControl},
		"add nobody":             {func(c *Control) { c.Action = ActionAdd }, ErrControl},
		"add two":                {func(c *Control) { c.Action, c.Add = ActionAdd, slices.Repeat(in, 2) }, ErrControl},
		"remove an add":          {func(c *Control) { c.Action, c.Add = ActionRemove, in }, ErrControl},
		"accepted elsewhere":     {func(c *Control) { c.Action, c.Add = ActionAdd, []Signed[Accept]{elsewhere} }, ErrControl},
		"entry not as accepted":  {func(c *Control) { c.Action, c.Add = ActionAdd, []Signed[Accept]{forged} }, ErrBadSignature},
		"more addresses than 32": {func(c *Control) { c.Action, c.Add = ActionAdd, []Signed[Accept]{Sign(k, crowded)} }, ErrTooLarge},
	} {
		c := valid
		tt.change(&c)
		s := Sign(w.founder, c)
		if err := CheckControl(w.spec, w.run, &s); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	s := Sign(w.peers[0], Control{Run: w.run, Founder: w.founder.ID(), Action: ActionStop, Nonce: 1})
	if err := CheckControl(w.spec, w.run, &s); !errors.Is(err, ErrBadSignature) {
		t.Errorf("signed by another: %v", err)
	}
}
