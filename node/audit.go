package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"drystone/internal/durable"
	"drystone/protocol"
	"drystone/trainer"
	"drystone/verify"
)

// Audit audits a proof file. run pins it to a run; nil leaves it unpinned, and the report says so. blobs are directories
// of the run's blobs, as aggregators keep them, for replay and merge; none for an audit without. Where shards have owners no
// single aggregator holds all payloads of a round. Nothing is sent anywhere.
func Audit(ctx context.Context, proof []byte, run *protocol.Digest, blobs []string, threads int) (*verify.Report, error) {
	for _, dir := range blobs {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("blob directory: %w", err)
		}
	}
	f, err := verify.DecodeProof(proof)
	if err != nil {
		return nil, err
	}
	opt := verify.Options{Run: run, Merger: mergeAgain}
	var device *trainer.Device
	defer func() {
		if device != nil {
			device.Close()
		}
	}()
	if len(blobs) > 0 {
		var stores storeBlobs
		for _, dir := range blobs {
			store, err := durable.OpenStore(dir)
			if err != nil {
				return nil, err
			}
			stores = append(stores, store)
		}
		opt.Blobs = stores
		opt.Replayer = func(ctx context.Context, s *protocol.RunSpec, b verify.BlobSource) (verify.Replayer, error) {
			if device, err = auditDevice(ctx, s, b, threads); err != nil {
				return nil, err
			}
			return replayer{device}, nil
		}
	}
	return verify.Audit(ctx, f, opt)
}

// storeBlobs are blob stores as an audit reads them: the first that has a blob gives it.
type storeBlobs []*durable.Store

// Blob implements verify.BlobSource.
func (s storeBlobs) Blob(_ context.Context, d protocol.Digest, limit int64) ([]byte, error) {
	for _, store := range s {
		if data, err := store.Get(d, limit); !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return nil, fmt.Errorf("%w: blob %s", verify.ErrMissing, d.Short())
}

// auditDevice opens a compute device on the dataset that the blobs hold.
func auditDevice(ctx context.Context, s *protocol.RunSpec, blobs verify.BlobSource, threads int) (*trainer.Device, error) {
	run, err := s.ID()
	if err != nil {
		return nil, err
	}
	manifest, err := blobs.Blob(ctx, s.Data.Manifest, protocol.MaxManifest)
	if err != nil {
		return nil, err
	}
	m, err := protocol.DecodeManifest(manifest)
	if err != nil {
		return nil, err
	}
	data, err := trainer.LoadDataset(ctx, s.Data, m, func(ctx context.Context, d protocol.Digest) ([]byte, error) {
		return blobs.Blob(ctx, d, protocol.ChunkSize)
	})
	if err != nil {
		return nil, err
	}
	return trainer.NewDevice(s, run, data, max(threads, 1))
}
