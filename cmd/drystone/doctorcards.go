package main

import (
	"errors"
	"fmt"

	"drystone/internal/cuda"
	"drystone/internal/exact"
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
		var arithmetic error
		if card.Err == nil {
			arithmetic = checkCard(card)
		}
		out = append(out, cardFinding(card, m.Driver(), arithmetic))
	}
	return out
}

// checkCard runs the self-check that join runs on a card.
func checkCard(c gpu.Card) error {
	k, err := openKernels(cuda.Options{UUID: c.UUID, Label: fmt.Sprintf("cuda:%d", c.Index)})
	if err != nil {
		return err
	}
	defer k.Close()
	return exact.SelfCheck(k, 20)
}

// cardFinding is about one card; arithmetic is what its self-check came to.
func cardFinding(c gpu.Card, driver string, arithmetic error) finding {
	f := finding{Name: "gpu", State: well, Found: fmt.Sprintf("card %d: %s, driver %s; every kernel gives the bits that it must", c.Index, c, driver)}
	switch {
	case c.Err != nil:
		f.State, f.Found, f.Advice = warn, c.String(), "this card is left alone; the others and the processor are not affected"
	case arithmetic != nil:
		f.State, f.Found, f.Advice = warn, fmt.Sprintf("card %d: %s: %s", c.Index, c.Name, oneLine(arithmetic)), "train on the processor meanwhile: --device cpu"
	case c.Throttle&gpu.ThrottleHardware != 0:
		f.State, f.Advice = warn, "look after its power supply and cables"
	case c.Throttle&gpu.ThrottleHeat != 0:
		f.State, f.Advice = warn, "clean its fans, give it air, or limit it with --max-power or --max-temp"
	}
	return f
}
