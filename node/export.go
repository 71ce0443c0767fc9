package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"drystone/internal/durable"
	"drystone/internal/examples"
	"drystone/models"
	"drystone/protocol"
)

// Snapshot is a run's model at the start of a round.
type Snapshot struct {
	Spec  *protocol.RunSpec
	Run   protocol.Digest
	Round uint32
	Theta []float32
	Data  *examples.Header // what the examples are that it was trained on; nil on tokens, or if a directory lacks them
}

// preprocessing says how features are to be standardised for the model, and what its outputs stand for.
type preprocessing struct {
	Rule       string    `json:"rule"`
	InputShape []int     `json:"input_shape"` // row-major
	Mean       []float32 `json:"mean"`        // one for all features, or one for each
	Scale      []float32 `json:"scale"`
	ValueMean  []float32 `json:"value_mean,omitempty"` // one for each output
	ValueScale []float32 `json:"value_scale,omitempty"`
}

// Export writes the parameters as model.safetensors with their config.json into a directory, which it makes if absent, and
// for a model on examples preprocessor_config.json with the constants that standardised its data.
func Export(dir string, m *Snapshot) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var b bytes.Buffer
	meta := map[string]string{"run_id": m.Run.String(), "round": fmt.Sprint(m.Round), "model_root": protocol.MerkleRoot(floatBytes(m.Theta)).String(), "name": m.Spec.Name}
	if err := models.WriteSafetensors(&b, m.Spec.Model, m.Theta, meta); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	files := []examples.File{{Name: "model.safetensors", Data: b.Bytes()}, {Name: "config.json", Data: models.ConfigJSON(m.Spec.Model)}}
	if h := m.Data; h != nil {
		p := preprocessing{"model input = (feature - mean) * scale", []int{h.Height, h.Width, h.Channels}, h.Mean, h.Scale, h.ValueMean, h.ValueScale}
		if h.Values > 0 {
			p.Rule += "; prediction = output / value_scale + value_mean"
		}
		text, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		files = append(files, examples.File{Name: "preprocessor_config.json", Data: append(text, '\n')})
	}
	for _, f := range files {
		if err := durable.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// examplesHeader reads what the examples of a run are from the beginning of its dataset; nil for a run on tokens.
func examplesHeader(ctx context.Context, spec *protocol.RunSpec, get blobGetter) (*examples.Header, error) {
	if !spec.Model.OnExamples() {
		return nil, nil
	}
	manifest, err := get(ctx, spec.Data.Manifest, protocol.MaxManifest)
	if err != nil {
		return nil, fmt.Errorf("dataset manifest: %w", err)
	}
	m, err := protocol.DecodeManifest(manifest)
	if err != nil {
		return nil, fmt.Errorf("dataset manifest: %w", err)
	}
	var data []byte
	for _, c := range m.Chunks[:min(len(m.Chunks), 2)] { // a header has at most 1 MiB and 48 bytes
		chunk, err := get(ctx, c, protocol.ChunkSize)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		data = append(data, chunk...)
	}
	h, err := examples.ReadHeader(data)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	return &h, nil
}

// Snapshot fetches the model at the start of a round, verified against the statement chain.
func (c *Client) Snapshot(ctx context.Context, round uint32) (*Snapshot, error) {
	theta, err := c.Model(ctx, round)
	if err != nil {
		return nil, err
	}
	h, err := examplesHeader(ctx, c.spec, c.getter(c.councilPeers))
	return &Snapshot{c.spec, c.run, round, theta, h}, err
}

// OpenModel reads the model at the start of a round from an aggregator's data directory, without a network. A round of -1
// means the newest.
func OpenModel(ctx context.Context, dir string, round int64) (*Snapshot, error) {
	s, err := openModel(ctx, dir, round)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	return s, nil
}

func openModel(ctx context.Context, dir string, round int64) (*Snapshot, error) {
	text, err := os.ReadFile(filepath.Join(dir, "run"))
	if err != nil {
		return nil, err
	}
	run, err := protocol.ParseDigest(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "spec.cbor"))
	if err != nil {
		return nil, err
	}
	spec, err := protocol.DecodeSpec(data, run)
	if err != nil {
		return nil, err
	}
	h, err := openHistory(filepath.Join(dir, "statements"), spec, run, true)
	if err != nil {
		return nil, err
	}
	if round < 0 {
		round = int64(h.rounds())
	}
	root, _, err := h.modelRoot(uint32(round))
	if err != nil {
		return nil, fmt.Errorf("round %d: %w", round, err)
	}
	_, n, err := models.Layout(spec.Model)
	if err != nil {
		return nil, err
	}
	store, err := durable.OpenStore(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, err
	}
	blob, err := store.Get(root, int64(4*n))
	if err != nil {
		return nil, fmt.Errorf("parameters of round %d: %w", round, err)
	}
	theta, err := bytesFloats(blob, n)
	if err != nil {
		return nil, err
	}
	header, err := examplesHeader(ctx, spec, func(_ context.Context, d protocol.Digest, limit int64) ([]byte, error) { return store.Get(d, limit) })
	if errors.Is(err, durable.ErrNotFound) { // in a local run the founder alone keeps the data
		err = nil
	}
	return &Snapshot{spec, run, uint32(round), theta, header}, err
}
