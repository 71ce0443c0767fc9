package models

import (
	"encoding/json"

	"drystone/protocol"
)

// hfConfig holds the fields of Hugging Face's LlamaConfig that determine the computation.
type hfConfig struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	HiddenSize    int      `json:"hidden_size"`
	Intermediate  int      `json:"intermediate_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       int      `json:"num_key_value_heads"`
	HeadDim       int      `json:"head_dim"`
	Vocab         int      `json:"vocab_size"`
	MaxPositions  int      `json:"max_position_embeddings"`
	NormEps       float64  `json:"rms_norm_eps"`
	RopeTheta     float64  `json:"rope_theta"`
	Tied          bool     `json:"tie_word_embeddings"`
	Activation    string   `json:"hidden_act"`
	AttentionBias bool     `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias"`
	DType         string   `json:"torch_dtype"`
}

// ConfigJSON returns the config.json that belongs beside a file of WriteSafetensors: the LlamaConfig with which Hugging
// Face's LlamaForCausalLM computes this model. The vocabulary is raw bytes, so there is no tokenizer file.
func ConfigJSON(spec protocol.ModelSpec) []byte {
	b, err := json.MarshalIndent(hfConfig{
		Architectures: []string{"LlamaForCausalLM"},
		ModelType:     "llama",
		HiddenSize:    spec.Dim,
		Intermediate:  spec.FFN,
		Layers:        spec.Layers,
		Heads:         spec.Heads,
		KVHeads:       spec.KVHeads,
		HeadDim:       spec.Dim / max(spec.Heads, 1),
		Vocab:         spec.Vocab,
		MaxPositions:  spec.Context,
		NormEps:       spec.NormEps,
		RopeTheta:     spec.RopeTheta,
		Tied:          spec.Tied,
		Activation:    "silu",
		DType:         "float32",
	}, "", "  ")
	if err != nil {
		return nil // only a spec with a NaN or infinite field, which Layout refuses
	}
	return append(b, '\n')
}
