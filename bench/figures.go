package main

import (
	"fmt"
	"slices"
	"strings"
)

// figures is the registry, in the order in which they are listed, measured and published.
var figures = []Figure{
	demoLoss,
	demoTime,
	wireRatio,
	demoVerifyShare,
	replayCost,
	stepTokens,
	stepPeak,
	stepPyTorch,
	stepCompiled,
	stepGorgonia,
	stepMemory,
	shardMemory,
	shardStep,
	shardLoss,
	delayLoss,
	kernelAccuracy,
	lossCurves,
	lossParity,
	lossOneWorker,
	lossChoices,
	bitParity,
	gemmGflops,
	gemmOpenBLAS,
	codecThroughput,
	mergeThroughput,
	mergeRobust,
	mergeMemory,
	ownerLoad,
	attackTable,
	failover,
	restartTime,
	joinTime,
	joinDonors,
	churn64,
	bytesPerPeer,
	commOverhead,
	hostilePeers,
	topicTraffic,
}

// lookup returns the figures of the given names, each once, in the order of the registry. "all" names every one. The
// error wraps errUnknown.
func lookup(names []string) ([]Figure, error) {
	var known []string
	for _, f := range figures {
		known = append(known, f.Name)
	}
	for _, name := range names {
		if name != "all" && !slices.Contains(known, name) {
			return nil, fmt.Errorf("%w: %q; there are %s", errUnknown, name, strings.Join(known, ", "))
		}
	}
	if slices.Contains(names, "all") {
		return figures, nil
	}
	var out []Figure
	for _, f := range figures {
		if slices.Contains(names, f.Name) {
			out = append(out, f)
		}
	}
	return out, nil
}
