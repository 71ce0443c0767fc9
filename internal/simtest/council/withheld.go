package council

import "drystone/aggregate"

// Withhold signs no Certificate.
//
// Up to n-t of these cost nothing: the others are t. With more the run stands still, and nothing false is certified:
// liveness under lying aggregators is not claimed.
func Withhold(_ *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	if _, ok := d.(aggregate.DutyMerge); ok {
		return nil
	}
	return honest
}
