package trial

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// FailoverOptions say what is measured.
type FailoverOptions struct {
	Dir     string
	Command func() *exec.Cmd // see Options
	RTT     time.Duration    // between any two members
	Kills   int
}

// Failover kills the leader of a group with default timeouts again and again (SIGKILL), in one phase of a round after the
// other, and returns how long it took from each death until a record was logged that was proposed after it: as the first
// of the survivors saw it that proposed one, which may lie half a round trip from the new leader. Durations that it
// measured before an error come with it.
func Failover(ctx context.Context, o FailoverOptions) (took []time.Duration, err error) {
	const perTrial = 10 // so that the run never ends before the kills do
	for n := 0; len(took) < o.Kills; n++ {
		part, err := failovers(ctx, o, filepath.Join(o.Dir, strconv.Itoa(n)), min(perTrial, o.Kills-len(took)), len(took))
		took = append(took, part...)
		if err != nil {
			return took, err
		}
	}
	return took, nil
}

func failovers(ctx context.Context, o FailoverOptions, dir string, kills, first int) (took []time.Duration, err error) {
	c, err := Start(ctx, Options{Dir: dir, Command: o.Command, Rounds: 100_000})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.Network(network{Delay: o.RTT / 2})
	order := []string{"opening", "train", "freezing", "reveal", "revealing", "merge"}
	for n := range kills {
		if err := c.further(ctx, 1); err != nil {
			return took, err
		}
		death, err := c.kill(ctx, death{Phase: order[(first+n)%len(order)], Leads: true})
		if err != nil {
			return took, err
		}
		c.sendAll(command{Probe: uint64(n) + 1})
		logged, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindProbed && e.Nano > death.Nano })
		if err != nil {
			return took, err
		}
		took = append(took, time.Duration(logged.Nano-death.Nano))
		if err := c.Restart(ctx, death.Member); err != nil {
			return took, err
		}
		if err := c.send(death.Member, command{Net: &network{Delay: o.RTT / 2}}); err != nil {
			return took, err
		}
	}
	return took, nil
}

// further waits until the run has come n rounds further.
func (c *Council) further(ctx context.Context, n uint32) error {
	e, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindPhase })
	if err != nil {
		return err
	}
	_, err = c.Await(ctx, func(x Event) bool { return x.Kind == kindPhase && x.Round >= e.Round+n })
	return err
}
