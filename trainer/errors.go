package trainer

import "errors"

// Errors that callers decide on.
var (
	// ErrDiverged means that a loss, gradient or state is NaN or infinite, or that the update is too large to encode. Train
	// never returns such a contribution: the peer sits the round out. So a replay of a committed segment that ends in it
	// has found a mismatch.
	ErrDiverged = errors.New("training diverged")
	// ErrClosed is returned by a Device after Close.
	ErrClosed = errors.New("device is closed")
	// ErrData means that the dataset is not what the run spec or its manifest names, or too short.
	ErrData = errors.New("bad dataset")
	// ErrAssignment means that an assignment, state or theta does not fit the run.
	ErrAssignment = errors.New("assignment does not fit the run")
	// ErrRequest means that an OpenRequest asks for what the contribution does not have.
	ErrRequest = errors.New("bad open request")
	// ErrNoContribution means that the store holds no complete contribution for the round.
	ErrNoContribution = errors.New("no contribution on disk")
	// ErrCorrupt means that a file of the store is not what was written. The error names it.
	ErrCorrupt = errors.New("corrupt contribution on disk")
	// ErrChunkMismatch means that a codec chunk is not what the opened values encode to.
	ErrChunkMismatch = errors.New("codec chunk does not follow from the opened values")
	// ErrMemory means that a memory limit is below what training the fewest shards that the run admits takes.
	ErrMemory = errors.New("too little memory")
	// ErrDevice means that what steps run on, such as a card, failed or has no room. It says nothing of the work: the same
	// steps can be run on the processor, see Device.ToProcessor.
	ErrDevice = errors.New("compute device failed")
	// ErrMalformed means that an opening has the wrong shape.
	ErrMalformed = errors.New("malformed opening")
)
