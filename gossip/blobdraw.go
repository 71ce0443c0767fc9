package gossip

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// draw fetches pieces from one source until all is here or the source fails.
func (f *fetch) draw(ctx context.Context, s *source) {
	for ctx.Err() == nil {
		changed := f.changed.changed()
		if f.due(s) {
			if err := f.ask(ctx, s); err != nil {
				f.fail(ctx, s, err)
				return
			}
			f.changed.fire()
			continue
		}
		for {
			piece, a, i, ok := f.pick(s)
			if !ok {
				break
			}
			if !f.h.begin() {
				return
			}
			go func() {
				defer f.h.tasks.Done()
				defer a.cancel()
				f.request(piece, s, a, i)
			}()
		}
		if f.gone(s) {
			return
		}
		sleep(ctx, changed, fetchTick)
	}
}

// ask asks a source what it has. One that has just not given a piece and says again that it has it is blamed for that, since
// it is found out so even where the others give all before its turn comes again. A peer that is putting a blob in its place
// may do so once.
func (f *fetch) ask(ctx context.Context, s *source) error {
	f.mu.Lock()
	owed := s.owed
	f.mu.Unlock()
	resp, err := f.h.callSlowly(ctx, s.id, haveCall, f.d[:], maxHave, nil)
	if err != nil {
		return err
	}
	h, err := decodeHave(resp)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadBlob, err)
	}
	if owed > 0 && owed <= pieces(h.size) && h.has(owed-1) {
		f.h.blobs.conduct.blame(s.id, pointsRepeated)
	}
	return f.learn(s, h)
}

// learn takes note of what a source has.
func (f *fetch) learn(s *source, h have) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case h.size > f.limit:
		return fmt.Errorf("%d bytes, limit %d: %w", h.size, f.limit, ErrTooLarge)
	case f.opt.Size > 0 && h.size != f.opt.Size:
		return fmt.Errorf("%w: size %d, which is %d", ErrBadBlob, h.size, f.opt.Size)
	case !s.asked.IsZero() && h.size != s.size:
		return fmt.Errorf("%w: now %d bytes, before %d", ErrBadBlob, h.size, s.size)
	}
	f.uncount(s)
	s.asked, s.have, s.owed = time.Now(), h, 0
	f.count(s)
	return nil
}

// request fetches one piece.
func (f *fetch) request(ctx context.Context, s *source, a *asked, i int) {
	began := time.Now()
	r, err := f.askPiece(ctx, s, a, i)
	defer f.changed.fire()
	var remote *RemoteError
	if f.land(s, i) { // another source was faster
		if errors.Is(err, ErrStalled) {
			f.h.blobs.conduct.blame(s.id, pointsStalled)
		} else if errors.As(err, &remote) && remote.Code == CodeNotFound {
			f.missed(s, i)
		}
		return
	}
	switch {
	case err == nil && r.wait > 0:
		f.pause(s, min(r.wait, maxHint))
	case err == nil:
		f.store(s, r.proven, time.Since(began))
	case errors.As(err, &remote) && remote.Code == CodeBusy:
		f.pause(s, fetchTick)
	case errors.As(err, &remote) && remote.Code == CodeNotFound && f.missed(s, i):
		f.pause(s, fetchTick)
	default:
		f.fail(ctx, s, err)
	}
}

func (f *fetch) askPiece(ctx context.Context, s *source, a *asked, i int) (pieceReply, error) {
	resp, err := f.h.callSlowly(ctx, s.id, pieceCall, encodePieceRequest(f.d, i), maxPieceReply, &a.begun)
	if err != nil {
		return pieceReply{}, err
	}
	r, err := decodePieceReply(resp)
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrBadBlob, err)
	}
	if err := f.learn(s, r.have); err != nil || r.wait > 0 {
		return r, err
	}
	if r.index != i {
		return r, fmt.Errorf("%w: piece %d instead of %d", ErrBadBlob, r.index, i)
	}
	if err := r.check(f.d); err != nil {
		return r, fmt.Errorf("%w: piece %d: %w", ErrBadBlob, i, err)
	}
	return r, nil
}

// store keeps a verified piece.
func (f *fetch) store(s *source, p proven, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.size != f.size {
		return
	}
	s.paced(took)
	f.took(took)
	if f.part != nil {
		if err := f.part.Append(p.append(nil)); err != nil {
			f.unkept(err)
		}
	}
	f.put(p)
	f.moved = time.Now()
	if f.opt.Progress != nil {
		f.opt.Progress(f.done, f.size)
	}
}

// fail drops a source and says so once, unless the fetch is ending.
func (f *fetch) fail(ctx context.Context, s *source, err error) {
	if ctx.Err() != nil {
		return
	}
	switch {
	case errors.Is(err, ErrBadBlob), errors.Is(err, ErrTooLarge) && f.opt.Size > 0:
		f.h.blobs.conduct.blame(s.id, pointsLied)
		f.h.cfg.Logger.Warn("blob source dropped", "blob", f.d, "source", s.id, "err", err)
	case errors.Is(err, ErrStalled):
		f.h.blobs.conduct.blame(s.id, pointsStalled)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sources[s.id] != s {
		return
	}
	f.uncount(s)
	delete(f.sources, s.id)
	for _, a := range s.flying {
		a.cancel()
	}
	if len(f.fails) < maxFails {
		f.fails = append(f.fails, fmt.Errorf("%s: %w", s.id.Short(), err))
	}
	var remote *RemoteError
	if errors.As(err, &remote) && remote.Code == CodeNotFound {
		delete(f.known, s.id) // it may have it later, and then be named again
	}
	f.h.cfg.Logger.Debug("blob source dropped", "blob", f.d, "source", s.id, "err", err)
	if f.opt.Blame != nil {
		f.opt.Blame(s.id, err)
	}
	f.changed.fire()
}
