// Package replica replicates an aggregate.Machine with Raft.
package replica
