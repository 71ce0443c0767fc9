package node

import (
	"strconv"

	"drystone/internal/gpu"
)

// cardMetrics are of NVIDIA's cards, where Config.Cards reads them. What a card does not report has no value.
var cardMetrics = []metric{
	{"drystone_gpu_up", "1 if the card can be read.", gauge, cardLabels},
	{"drystone_gpu_memory_bytes", "Memory of the card.", gauge, cardLabels},
	{"drystone_gpu_memory_used_bytes", "Memory of the card in use, by all processes.", gauge, cardLabels},
	{"drystone_gpu_busy_ratio", "Share of the last moments in which the card computed.", gauge, cardLabels},
	{"drystone_gpu_celsius", "Temperature of the chip.", gauge, cardLabels},
	{"drystone_gpu_watts", "Power drawn now.", gauge, cardLabels},
	{"drystone_gpu_clock_hertz", "Clock of the multiprocessors.", gauge, cardLabels},
	{"drystone_gpu_throttled", "1 while the clocks are lowered: by power, by heat, or by hardware.", gauge, []string{"role", "card", "by"}},
	{"drystone_gpu_processes", "Processes that have the card open.", gauge, cardLabels},
}

var cardLabels = []string{"role", "card"}

// cards reads the cards. If the driver does not answer there is nothing to tell.
func (c *collector) cards(put func(string, float64, ...string)) {
	all, err := c.m.cfg.Cards()
	if err != nil {
		return
	}
	for _, card := range all {
		id := strconv.Itoa(card.Index)
		known := func(name string, value, unit float64) {
			if card.Err == nil && value >= 0 {
				put(name, value*unit, c.role, id)
			}
		}
		put("drystone_gpu_up", oneIf(card.Err == nil), c.role, id)
		known("drystone_gpu_memory_bytes", float64(card.Memory), 1)
		known("drystone_gpu_memory_used_bytes", float64(card.Used), 1)
		known("drystone_gpu_busy_ratio", float64(card.Busy), 0.01)
		known("drystone_gpu_celsius", float64(card.Celsius), 1)
		known("drystone_gpu_watts", card.Watts, 1)
		known("drystone_gpu_clock_hertz", float64(card.Clock), 1e6)
		known("drystone_gpu_processes", float64(len(card.Processes)), 1)
		for _, by := range []gpu.Throttle{gpu.ThrottlePower, gpu.ThrottleHeat, gpu.ThrottleHardware} {
			if card.Err == nil {
				put("drystone_gpu_throttled", oneIf(card.Throttle&by != 0), c.role, id, by.String())
			}
		}
	}
}
