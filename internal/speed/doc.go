// Package speed measures how fast this machine trains: whole steps of two reference models, every matrix product in
// them, and the fused multiply-adds that the processor does when it does nothing else, which is what both are held
// against. `drystone bench` shows it to people and the registry in bench/ publishes it beside other programs.
//
// Nothing here is safe for concurrent use, and whatever else runs on the machine enters the figures.
package speed
