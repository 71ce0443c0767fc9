// Package aggregate is the pure state machine of a run.
package aggregate
