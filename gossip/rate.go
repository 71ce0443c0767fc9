package gossip

import (
	"context"
	"io"
	"sync"
	"time"
)

// rateStep is how many bytes a limited reader or writer moves at once.
const rateStep = 16 << 10

// limiter is a token bucket over all blob traffic of one direction. A nil limiter does not limit. Who takes more than there
// is waits until the bucket has it, in order of arrival; so the rate holds however many take at once.
type limiter struct {
	rate float64 // bytes per second

	mu   sync.Mutex
	free time.Time // when the bucket will be empty of debts; a burst of rateStep bytes is allowed
}

// newLimiter limits to rate bytes per second, 0 for no limit.
func newLimiter(rate int64) *limiter {
	if rate == 0 {
		return nil
	}
	return &limiter{rate: float64(rate)}
}

// take waits until n more bytes may pass.
func (l *limiter) take(ctx context.Context, n int) error {
	if l == nil {
		return ctx.Err()
	}
	l.mu.Lock()
	now := time.Now()
	if burst := now.Add(-time.Duration(rateStep / l.rate * float64(time.Second))); l.free.Before(burst) {
		l.free = burst
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	wait := l.free.Sub(now)
	l.mu.Unlock()
	if wait <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// limitedWriter writes at the limiter's rate. step, if not nil, is called before each write, with its bytes.
type limitedWriter struct {
	ctx   context.Context
	w     io.Writer
	limit *limiter
	step  func(n int)
}

func (l limitedWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		part := p[done:min(done+rateStep, len(p))]
		if err := l.limit.take(l.ctx, len(part)); err != nil {
			return done, err
		}
		if l.step != nil {
			l.step(len(part))
		}
		n, err := l.w.Write(part)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// limitedReader reads at the limiter's rate. watch runs only while bytes are waited for, so that it tells a sender that
// stalls from our own limit.
type limitedReader struct {
	ctx   context.Context
	r     io.Reader
	limit *limiter
	watch *time.Timer
	moved func(n int)
}

func (l limitedReader) Read(p []byte) (int, error) {
	l.watch.Reset(stallAfter)
	n, err := l.r.Read(p[:min(len(p), rateStep)])
	l.watch.Stop()
	if n > 0 {
		l.moved(n)
		if wait := l.limit.take(l.ctx, n); wait != nil && err == nil {
			err = wait
		}
	}
	return n, err
}
