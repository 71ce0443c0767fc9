package node

import (
	"strings"
	"time"

	"drystone/aggregate"
)

var councilMetrics = []metric{
	{"drystone_round", "Round under way.", gauge, nil},
	{"drystone_phase", "1 for the present phase.", gauge, []string{"phase"}},
	{"drystone_phase_seconds", "How long the present phase has lasted.", gauge, nil},
	{"drystone_round_phase_seconds", "How long each phase of the last certified round lasted; merge is the merge and its certification.", gauge, []string{"phase"}},
	{"drystone_records_total", "Leaves that this process saw logged, by type: commits, verdicts and others.", count, []string{"type"}},
	{"drystone_roster_peers", "Peers of the newest round by state.", gauge, []string{"state"}},
	{"drystone_checks", "Verdicts that the present aggregators have given.", gauge, nil},
	{"drystone_faults", "Faults of the present aggregators.", gauge, nil},
	{"drystone_epochs_settled", "Last settled epoch.", gauge, nil},
	{"drystone_log_leaves", "Leaves of the transparency log.", gauge, nil},
	{"drystone_raft_leader", "1 if this aggregator leads.", gauge, nil},
	{"drystone_raft_has_leader", "1 if this aggregator knows of a leader.", gauge, nil},
	{"drystone_raft_term", "Raft term.", gauge, nil},
	{"drystone_raft_applied_index", "Last record applied.", gauge, nil},
	{"drystone_raft_commit_lag", "Records that are committed and not yet applied here.", gauge, nil},
	{"drystone_round_commits", "Commits of the newest round.", gauge, nil},
	{"drystone_verdicts", "Verdicts of drawn verifiers in the transparency log here, by result.", gauge, []string{"result"}},
	{"drystone_open_checks", "Contributions whose checks have not ended.", gauge, nil},
	{"drystone_aggregator_checks", "Verdicts that an aggregator has given since it was taken in.", gauge, []string{"aggregator"}},
	{"drystone_aggregator_faults", "Duties that an aggregator has failed since it was taken in.", gauge, []string{"aggregator"}},
	{"drystone_aggregator_away", "1 for an aggregator that was late and was not heard of since.", gauge, []string{"aggregator"}},
	{"drystone_duties_total", "Duties of this aggregator that ended: done, again (too early, or others were faster), or failed. A gather that is done is an Attest.", count, []string{"duty", "result"}},
	{"drystone_duty_seconds_total", "Seconds that these duties took: merge, sums and shard are the merge of a round, check is a replay.", count, []string{"duty", "result"}},
	{"drystone_checkpoint_leaves", "Leaves under the last cosigned checkpoint.", gauge, nil},
	{"drystone_raft_state", "1 for the state of this member of the Raft group.", gauge, []string{"state"}},
	{"drystone_raft_last_index", "Last record in the own Raft log.", gauge, nil},
}

func (c *collector) council(put func(string, float64, ...string)) {
	v, r := c.a.view(), c.a.replica.Figures()
	inPhase, rounds := c.a.timings.read(time.Now())
	put("drystone_round", float64(v.Round))
	put("drystone_phase", 1, v.Phase.String())
	put("drystone_phase_seconds", inPhase)
	if n := len(rounds); n > 0 {
		for phase, s := range rounds[n-1].Seconds {
			put("drystone_round_phase_seconds", s, phase)
		}
	}
	for name, n := range c.a.timings.records() {
		put("drystone_records_total", float64(n), name)
	}
	states := map[string]int{}
	for _, p := range peerStates(&v) {
		states[p.State]++
	}
	for state, n := range states {
		put("drystone_roster_peers", float64(n), state)
	}
	var checks, faults uint64
	for _, a := range v.Aggregators {
		checks, faults = checks+uint64(a.Checks), faults+uint64(a.Faults)
	}
	put("drystone_checks", float64(checks))
	put("drystone_faults", float64(faults))
	put("drystone_epochs_settled", float64(v.Settled))
	put("drystone_log_leaves", float64(v.LogSize))
	put("drystone_raft_leader", oneIf(r.Leads))
	_, known := c.a.replica.Leader()
	put("drystone_raft_has_leader", oneIf(known))
	put("drystone_raft_term", float64(r.Term))
	put("drystone_raft_applied_index", float64(r.Applied))
	put("drystone_raft_commit_lag", float64(r.Committed-min(r.Committed, r.Applied)))
	put("drystone_raft_last_index", float64(r.Last))
	for _, state := range []string{"Follower", "Candidate", "Leader", "Shutdown"} {
		put("drystone_raft_state", oneIf(r.State == state), state)
	}
	c.checks(put, &v)
	for name, d := range c.a.duties.read() {
		duty, result, _ := strings.Cut(name, "/")
		put("drystone_duties_total", float64(d.n), duty, result)
		put("drystone_duty_seconds_total", d.sum, duty, result)
	}
}

// checks is how far the newest round and the checks are, and who did them.
func (c *collector) checks(put func(string, float64, ...string), v *aggregate.View) {
	commits, open := 0, 0
	for i := range v.Rounds {
		commits = len(v.Rounds[i].Commits)
		for _, check := range v.Rounds[i].Checks {
			if !check.Settled {
				open++
			}
		}
	}
	put("drystone_round_commits", float64(commits))
	put("drystone_open_checks", float64(open))
	var all CheckCount
	for _, n := range c.a.Checks() {
		all.Passed, all.Failed = all.Passed+n.Passed, all.Failed+n.Failed
	}
	put("drystone_verdicts", float64(all.Passed), "passed")
	put("drystone_verdicts", float64(all.Failed), "failed")
	for _, a := range v.Aggregators {
		put("drystone_aggregator_checks", float64(a.Checks), a.ID.Short())
		put("drystone_aggregator_faults", float64(a.Faults), a.ID.Short())
		put("drystone_aggregator_away", oneIf(a.Away), a.ID.Short())
	}
	leaves := uint64(0)
	if v.Checkpoint != nil {
		leaves = v.Checkpoint.Size
	}
	put("drystone_checkpoint_leaves", float64(leaves))
}
