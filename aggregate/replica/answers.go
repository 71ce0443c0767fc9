package replica

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// Answers of other members pass the check too: a leader steps down for a greater term in one, and a candidate takes it over.

func (t *transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.NetworkTransport.AppendEntries(id, to, req, resp); err != nil {
		return err
	}
	return t.check.answer(id, req.Term, resp.Term)
}

func (t *transport) RequestVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.NetworkTransport.RequestVote(id, to, req, resp); err != nil {
		return err
	}
	return t.check.answer(id, req.Term, resp.Term)
}

func (t *transport) RequestPreVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := t.NetworkTransport.RequestPreVote(id, to, req, resp); err != nil {
		return err
	}
	return t.check.answer(id, req.Term, resp.Term)
}

func (t *transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := t.NetworkTransport.InstallSnapshot(id, to, req, resp, data); err != nil {
		return err
	}
	return t.check.answer(id, req.Term, resp.Term)
}

func (t *transport) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, to)
	if err != nil {
		return nil, err
	}
	c := &pipeline{AppendPipeline: p, check: t.check, id: id, out: make(chan raft.AppendFuture), done: make(chan struct{})}
	go c.relay()
	return c, nil
}

// pipeline checks the answers of a pipeline. Raft closes it.
type pipeline struct {
	raft.AppendPipeline
	check *check
	id    raft.ServerID
	out   chan raft.AppendFuture
	done  chan struct{} // closed by Close
	once  sync.Once
}

func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.out }

// relay ends with Close. A refused answer becomes a failure, with which Raft leaves the pipeline.
func (p *pipeline) relay() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			if f.Error() == nil {
				if req, resp := f.Request(), f.Response(); p.check.answer(p.id, req.Term, resp.Term) != nil {
					resp.Success, resp.Term = false, req.Term
				}
			}
			select {
			case p.out <- f:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}

func (p *pipeline) Close() error {
	p.once.Do(func() { close(p.done) })
	return p.AppendPipeline.Close()
}
