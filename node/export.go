package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"drystone/internal/durable"
	"drystone/models"
	"drystone/protocol"
)

// Export writes parameters as model.safetensors with their config.json into a directory, which it makes if absent.
func Export(dir string, spec *protocol.RunSpec, run protocol.Digest, round uint32, theta []float32) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var b bytes.Buffer
	meta := map[string]string{"run_id": run.String(), "round": fmt.Sprint(round), "model_root": protocol.MerkleRoot(floatBytes(theta)).String(), "name": spec.Name}
	if err := models.WriteSafetensors(&b, spec.Model, theta, meta); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "model.safetensors"), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "config.json"), models.ConfigJSON(spec.Model), 0o644); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// OpenModel reads the parameters at the start of a round from an aggregator's data directory, without a network. A round
// of -1 means the newest.
func OpenModel(dir string, round int64) (spec *protocol.RunSpec, run protocol.Digest, at uint32, theta []float32, err error) {
	fail := func(err error) (*protocol.RunSpec, protocol.Digest, uint32, []float32, error) {
		return nil, run, 0, nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "run"))
	if err != nil {
		return fail(err)
	}
	if run, err = protocol.ParseDigest(string(bytes.TrimSpace(text))); err != nil {
		return fail(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "spec.cbor"))
	if err != nil {
		return fail(err)
	}
	if spec, err = protocol.DecodeSpec(data, run); err != nil {
		return fail(err)
	}
	h, err := openHistory(filepath.Join(dir, "statements"), spec, run)
	if err != nil {
		return fail(err)
	}
	if round < 0 {
		round = int64(h.rounds())
	}
	root, _, err := h.modelRoot(uint32(round))
	if err != nil {
		return fail(fmt.Errorf("round %d: %w", round, err))
	}
	_, n, err := models.Layout(spec.Model)
	if err != nil {
		return fail(err)
	}
	store, err := durable.OpenStore(filepath.Join(dir, "blobs"))
	if err != nil {
		return fail(err)
	}
	blob, err := store.Get(root, int64(4*n))
	if err != nil {
		return fail(fmt.Errorf("parameters of round %d: %w", round, err))
	}
	theta, err = bytesFloats(blob, n)
	return spec, run, uint32(round), theta, err
}
