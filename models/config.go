package models

import (
	"encoding/json"

	"drystone/protocol"
)

// exampleConfig describes a family of this project alone.
type exampleConfig struct {
	ModelType  string   `json:"model_type"` // "drystone-mlp" or "drystone-convnet"
	Layers     int      `json:"num_hidden_layers"`
	HiddenSize int      `json:"hidden_size"` // values per hidden layer, or channels
	Activation string   `json:"hidden_act"`
	InputShape []int    `json:"input_shape"` // row-major
	Outputs    int      `json:"num_outputs"`
	Loss       string   `json:"loss"`
	Kernel     int      `json:"kernel_size,omitempty"`
	Pool       int      `json:"pool_size,omitempty"`
	Weights    []string `json:"weight_axes,omitempty"` // of a convolution's weight
	DType      string   `json:"torch_dtype"`
}

func (mlp) config(s protocol.ModelSpec) any {
	return exampleConfig{ModelType: "drystone-mlp", Layers: s.Layers, HiddenSize: s.Dim, Activation: "gelu_pytorch_tanh",
		InputShape: []int{s.Inputs}, Outputs: s.Outputs, Loss: s.Loss, DType: "float32"}
}

func (convnet) config(s protocol.ModelSpec) any {
	return exampleConfig{ModelType: "drystone-convnet", Layers: s.Layers, HiddenSize: s.Dim, Activation: "relu",
		InputShape: []int{s.Height, s.Width, s.Channels}, Outputs: s.Outputs, Loss: s.Loss, Kernel: kernelSide, Pool: 2,
		Weights: []string{"output", "row", "column", "input"}, DType: "float32"}
}

// ConfigJSON returns the config.json that belongs beside a file of WriteSafetensors. For a Llama it is the LlamaConfig
// with which Hugging Face's LlamaForCausalLM computes this model; there is no tokenizer file, since tokens are raw bytes
// or whatever a token file was made with. For the other families, which no library knows by name, it says in the same
// style what the layers are; mlp.go and convnet.go define them.
func ConfigJSON(spec protocol.ModelSpec) []byte {
	f, err := familyOf(spec)
	if err != nil {
		return nil // only a spec that Layout refuses
	}
	b, err := json.MarshalIndent(f.config(spec), "", "  ")
	if err != nil {
		return nil // only a spec with a NaN or infinite field, which Layout refuses
	}
	return append(b, '\n')
}
