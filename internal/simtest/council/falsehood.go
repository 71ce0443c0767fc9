package council

import (
	"drystone/aggregate"
	"drystone/protocol"
)

// Accuse gives a failed verdict on every contribution that it is to check.
//
// A lone accuser is outvoted: the check is cleared, nobody is convicted, and the accuser takes the fault. t accusers
// convict whom they like; Judge must notice.
func Accuse(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	if duty, ok := d.(aggregate.DutyCheck); ok {
		return [][]byte{a.verdict(duty, protocol.Mismatch)}
	}
	return honest
}

// AttestBlind attests at once, to roots that it makes up, and holds nothing.
//
// t must attest to the same, so fewer than t blind ones bring nothing into a RevealSet that was not committed. t of them do;
// Judge must notice.
func AttestBlind(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	duty, ok := d.(aggregate.DutyGather)
	if !ok {
		return honest
	}
	made := protocol.TraceEnd{Payload: protocol.Hash("council-made-up", duty.Commit.Body.Trace[:])}
	start := protocol.TraceStart{Model: a.machine.View().Model}
	return [][]byte{a.attest(duty, start, made)}
}
