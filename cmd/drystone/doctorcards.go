package main

import (
	"errors"
	"fmt"

	"drystone/internal/gpu"
)

// examineCards has a finding for every card, or one that says why there is none. No card is needed, so nothing here is bad.
func examineCards() []finding {
	m, err := openMonitor()
	if errors.Is(err, gpu.ErrNoDriver) {
		return []finding{{Name: "gpu", State: well, Found: oneLine(err) + "; none is needed, training runs on the processor"}}
	}
	if err != nil {
		return []finding{{"gpu", warn, oneLine(err), "repair or update the driver, or leave it: training runs on the processor"}}
	}
	defer m.Close()
	all, err := m.Cards()
	if err != nil {
		return []finding{{"gpu", warn, oneLine(err), "repair or update the driver, or leave it: training runs on the processor"}}
	}
	if len(all) == 0 {
		return []finding{{Name: "gpu", State: well, Found: "driver " + m.Driver() + ", but no card; none is needed"}}
	}
	var out []finding
	for _, card := range all {
		out = append(out, cardFinding(card, m.Driver()))
	}
	return out
}

func cardFinding(c gpu.Card, driver string) finding {
	f := finding{Name: "gpu", State: well, Found: fmt.Sprintf("card %d: %s, driver %s", c.Index, c, driver)}
	switch {
	case c.Err != nil:
		f.State, f.Found, f.Advice = warn, c.String(), "this card is left alone; the others and the processor are not affected"
	case c.Throttle&gpu.ThrottleHardware != 0:
		f.State, f.Advice = warn, "look after its power supply and cables"
	case c.Throttle&gpu.ThrottleHeat != 0:
		f.State, f.Advice = warn, "clean its fans, give it air, or limit it with --max-power or --max-temp"
	default:
		f.Advice = "idle: there is no GPU backend yet, training runs on the processor; --idle-only and --max-temp of join watch this card all the same"
	}
	return f
}
