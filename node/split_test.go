package node

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drystone/protocol"
)

// What each sight means.
func TestTrouble(t *testing.T) {
	last, other := protocol.Hash("last"), protocol.Hash("other")
	whole := sight{total: 4, threshold: 3, reached: 4, neighbours: 5, length: 9, last: last, witnesses: 2}
	head := func(n int, length uint64, d protocol.Digest) (out []headResponse) {
		for range n {
			out = append(out, headResponse{Length: length, Last: d})
		}
		return out
	}
	for _, c := range []struct {
		edit func(s *sight)
		want string
	}{
		{func(*sight) {}, ""},
		{func(s *sight) { s.heads = head(3, 9, last) }, ""},
		{func(s *sight) { s.reached = 3 }, ""},
		{func(s *sight) { s.reached = 2 }, "looks split: 2 of 4"},
		{func(s *sight) { s.reached, s.elsewhere = 2, 2 }, "firewall"},
		{func(s *sight) { s.reached, s.neighbours = 0, 0 }, "no peer of the run"},
		{func(s *sight) { s.heads = head(2, 14, other) }, "more than a round ahead"},
		{func(s *sight) { s.heads = head(1, 1<<40, other) }, ""}, // one may lie
		{func(s *sight) { s.heads = head(3, 13, other) }, ""},    // on their way
		{func(s *sight) { s.heads = head(2, 9, other) }, "another statement 8"},
		{func(s *sight) { s.heads = head(1, 9, other) }, ""},
		{func(s *sight) { s.members, s.lost = 9, 5 }, "looks split: of 9 members that were there in the last half hour some 5"},
		{func(s *sight) { s.members, s.lost = 11, 5 }, ""},
		{func(s *sight) { s.members, s.lost = 3, 3 }, ""}, // some leave all the time
		{func(s *sight) { s.members, s.lost, s.reached = 9, 5, 2 }, "looks split: 2 of 4"},
	} {
		s := whole
		c.edit(&s)
		if got := s.trouble(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", s, got, c.want)
		}
	}
}

// A trouble is said once it stays, once, and so is its end.
func TestWatch(t *testing.T) {
	var w watch
	var said []string
	for _, seen := range []string{"", "", "a", "", "a", "a", "a", "b", "a", "", "", "", "b", "b"} {
		if text, ok := w.look(seen); ok {
			said = append(said, text)
		}
	}
	if got := strings.Join(said, ","); got != "a,,b" {
		t.Errorf("said %q", got)
	}
}

// Two of four aggregators vanish: those that remain and the trainer say that the network looks split; when they are back,
// that it is whole.
func TestSplitIsSaid(t *testing.T) {
	cfg := tinyConfig(t, 6, 1000, 1, nil)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var seen recorder
	tr, err := OpenTrainer(ctx, TrainerConfig{Config: Config{Key: protocol.DeriveKey(6, "witness"), Dir: filepath.Join(cfg.Dir, "witness"),
		Device: l.Device, Log: cfg.Log, OnEvent: seen.event, lookEvery: 100 * time.Millisecond}}, l.Link)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	said := func(n int, text string) {
		t.Helper()
		for {
			if all := seen.of(EventSplit); len(all) >= n && strings.Contains(all[len(all)-1].Text, text) {
				return
			}
			if !waitFor(ctx, 50*time.Millisecond) {
				t.Fatalf("not said: %q; %+v", text, seen.of(EventSplit))
			}
		}
	}
	for _, i := range []int{2, 3} {
		if err := l.Aggregators[i].Close(); err != nil {
			t.Fatal(err)
		}
	}
	said(1, "the network looks split: 2 of 4 aggregators")
	if text := tr.network().Trouble; !strings.Contains(text, "split") {
		t.Errorf("trouble %q", text)
	}
	for _, i := range []int{2, 3} {
		a, err := OpenAggregator(ctx, Config{Key: cfg.Aggregators[i], Dir: filepath.Join(cfg.Dir, "aggregator-"+string(rune('0'+i))), Device: l.Device, Log: cfg.Log}, l.Link, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
	}
	said(2, "whole again")
	if text := tr.network().Trouble; text != "" {
		t.Errorf("trouble %q after it is over", text)
	}
}
