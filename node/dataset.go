package node

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"drystone/internal/examples"
	"drystone/protocol"
	"drystone/trainer"
)

// generated is the number of examples that a template trains on out of the box.
const generated = 6000

// LoadData reads what a run is to train on, as its spec asks: text, token files, or examples from IDX files, a CSV table
// or an encoded dataset. Without files it takes the default of the spec's kind (see Templates). target names the column
// of a table to predict; empty for the last one. It returns the spec with its data keys filled in, the data as peers will
// fetch them, and in words what it took. Errors say which file, where in it, and which key of the spec it does not fit.
func LoadData(spec protocol.RunSpec, files []string, target string) (filled protocol.RunSpec, data []byte, found string, err error) {
	switch {
	case spec.Model.OnExamples():
		data, found, err = loadExamples(&spec, files, target)
	case target != "":
		err = fmt.Errorf("a target column is for tables, and family %s reads tokens", spec.Model.Family)
	case spec.Data.TokenBytes() > 1:
		data, found, err = loadTokens(&spec, files)
	default:
		data, found, err = LoadCorpus(files)
	}
	if err != nil {
		return spec, nil, "", err
	}
	spec = WithData(spec, data)
	set, err := trainer.OpenDataset(spec.Data, data)
	if err == nil {
		err = set.Fits(&spec.Model)
	}
	if err != nil {
		return spec, nil, "", fmt.Errorf("%s: %w", found, err)
	}
	return spec, data, found, nil
}

// WithData fills in what the RunSpec says of a dataset in the form in which peers fetch it. It keeps the holdout, if the
// spec has one.
func WithData(s protocol.RunSpec, data []byte) protocol.RunSpec {
	m := protocol.NewManifest(data)
	s.Data.Manifest = protocol.MerkleRoot(m.Encode())
	if width := s.Data.TokenBytes(); width > 0 {
		s.Data.Tokens = uint64(len(data) / width)
	} else if h, err := examples.ReadHeader(data); err == nil { // OpenDataset reports it otherwise
		s.Data.Tokens = uint64(h.Count)
	}
	s.Data.Holdout = holdout(&s, s.Data.Tokens)
	return s
}

// holdout returns the number of held-out tokens or examples of a dataset, unless the spec says it: a tenth, at most 64 Ki,
// at least two sequences.
func holdout(s *protocol.RunSpec, n uint64) uint64 {
	if s.Data.Holdout > 0 {
		return s.Data.Holdout
	}
	return max(min(n/10, 64<<10), 2*uint64(s.Model.Context)+2)
}

// loadTokens reads and joins token files, or makes one from the default text.
func loadTokens(spec *protocol.RunSpec, files []string) (data []byte, found string, err error) {
	width, vocab := spec.Data.TokenBytes(), spec.Model.Vocab
	if len(files) == 0 {
		text, found, err := LoadCorpus(nil)
		if err != nil {
			return nil, "", err
		}
		ids, err := wordTokens(text, vocab)
		for _, id := range ids {
			data = binary.LittleEndian.AppendUint32(data, id)
			data = data[:len(data)-4+width] // width is 2 or 4; wordTokens stays below 2^16
		}
		return data, fmt.Sprintf("%d tokens of words and bytes from %s", len(ids), found), err
	}
	read, err := readFiles(files)
	if err != nil {
		return nil, "", err
	}
	for _, f := range read {
		if n := len(f.Data); n%width != 0 {
			return nil, "", fmt.Errorf("data file %s: byte %d: %d bytes are no whole number of %s tokens", f.Name, n/width*width, n, spec.Data.Tokenizer)
		}
		for at := 0; at < len(f.Data); at += width {
			token := uint32(binary.LittleEndian.Uint16(f.Data[at:]))
			if width == 4 {
				token = binary.LittleEndian.Uint32(f.Data[at:])
			}
			if int(token) >= vocab {
				return nil, "", fmt.Errorf("data file %s: byte %d: token %d, the model has a vocabulary of %d (model.vocab)", f.Name, at, token, vocab)
			}
		}
		data = append(data, f.Data...)
	}
	return data, fmt.Sprintf("%s, %d tokens", strings.Join(files, ", "), len(data)/width), nil
}

// loadExamples reads examples, or generates them, and encodes them.
func loadExamples(spec *protocol.RunSpec, files []string, target string) (data []byte, found string, err error) {
	classes := 0
	if spec.Model.Loss == "cross-entropy" {
		classes = spec.Model.Outputs
	}
	var raw *examples.Raw
	switch {
	case len(files) > 0:
		read, err := readFiles(files)
		if err != nil {
			return nil, "", err
		}
		found = strings.Join(files, ", ")
		if len(read) == 1 && examples.Is(read[0].Data) {
			return read[0].Data, found, nil
		}
		if raw, err = parseExamples(read, classes, target); err != nil {
			return nil, "", err
		}
	case classes > 0:
		raw, found = examples.Digits(generated), "generated digits"
	default:
		raw, found = examples.Friedman(generated), "Friedman's function with noise"
	}
	found = fmt.Sprintf("%s, %d examples", found, raw.Count)
	held := holdout(spec, uint64(raw.Count))
	if held >= uint64(raw.Count) {
		return nil, "", fmt.Errorf("%s leave none to train on beside a holdout of %d", found, held)
	}
	if data, err = raw.Encode(raw.Count - int(held)); err != nil {
		err = fmt.Errorf("%s: %w", found, err)
	}
	return data, found, err
}

// parseExamples tells IDX files and tables apart by what they begin with.
func parseExamples(files []examples.File, classes int, target string) (*examples.Raw, error) {
	if examples.IsIDX(files[0].Data) || strings.Contains(filepath.Base(files[0].Name), "idx") {
		switch {
		case target != "":
			return nil, fmt.Errorf("a target column is for tables, and %s is an IDX file", files[0].Name)
		case classes == 0:
			return nil, fmt.Errorf("%s: IDX files hold classes, and model.loss = %q predicts values", files[0].Name, "squared-error")
		}
		return examples.FromIDX(files, classes)
	}
	if len(files) > 1 {
		return nil, fmt.Errorf("%d data files: want one table, or IDX files of images and labels in turn", len(files))
	}
	raw, err := examples.FromCSV(files[0], examples.Table{Target: target, Classes: classes})
	if err == nil {
		raw.Shuffle()
	}
	return raw, err
}

// readFiles reads files whole, and unpacks those that are gzip files, as MNIST's are.
func readFiles(names []string) ([]examples.File, error) {
	var files []examples.File
	total := 0
	for _, name := range names {
		data, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("data file: %w; name a readable file with --data", err)
		}
		if total += len(data); total > maxCorpus {
			return nil, fmt.Errorf("data files exceed %d bytes at %s; name less data", maxCorpus, name)
		}
		if len(data) == 0 {
			return nil, fmt.Errorf("data file %s is empty", name)
		}
		files = append(files, examples.File{Name: name, Data: data})
	}
	return files, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCorpus+1))
	if err != nil || !bytes.HasPrefix(data, []byte{0x1f, 0x8b, 8}) {
		return data, err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if data, err = io.ReadAll(io.LimitReader(z, maxCorpus+1)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
