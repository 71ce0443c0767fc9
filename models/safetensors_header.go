package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// decodeHeader parses the JSON header strictly: encoding/json alone would let duplicate and unknown keys pass.
func decodeHeader(header []byte, params []Param) ([]entry, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("does not start with {")
	}
	byName := make(map[string]Param, len(params))
	for _, p := range params {
		byName[p.Name] = p
	}
	var entries []entry
	var meta map[string]string
	dec := json.NewDecoder(bytes.NewReader(header))
	err := decodeObject(dec, func(key string) error {
		if key == metadataKey {
			meta = make(map[string]string)
			return decodeObject(dec, func(k string) error {
				var v *string
				if err := dec.Decode(&v); err != nil || v == nil {
					return fmt.Errorf("metadata %q is not a string", k)
				}
				meta[k] = *v
				return nil
			})
		}
		p, ok := byName[key]
		if !ok {
			return fmt.Errorf("tensor %q does not belong to this model", key)
		}
		e, err := decodeEntry(dec, p)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if rest := header[dec.InputOffset():]; len(bytes.Trim(rest, " ")) != 0 {
		return nil, nil, errors.New("bytes after the closing brace")
	}
	if len(entries) != len(params) {
		return nil, nil, fmt.Errorf("%d tensors, this model has %d", len(entries), len(params))
	}
	return entries, meta, nil
}

// decodeEntry parses {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]} for p.
func decodeEntry(dec *json.Decoder, p Param) (entry, error) {
	var dtype string
	var shape []int
	var offsets []uint64
	err := decodeObject(dec, func(key string) error {
		switch key {
		case "dtype":
			return dec.Decode(&dtype)
		case "shape":
			return dec.Decode(&shape)
		case "data_offsets":
			return dec.Decode(&offsets)
		}
		return fmt.Errorf("unknown key %q", key)
	})
	switch {
	case err != nil:
		return entry{}, fmt.Errorf("%s: %w", p.Name, err)
	case dtype != "F32":
		return entry{}, fmt.Errorf("%s: dtype %q: want F32", p.Name, dtype)
	case !slices.Equal(shape, p.Shape):
		return entry{}, fmt.Errorf("%s: shape %v: want %v", p.Name, shape, p.Shape)
	case len(offsets) != 2:
		return entry{}, fmt.Errorf("%s: %d data_offsets: want 2", p.Name, len(offsets))
	}
	return entry{p, offsets[0], offsets[1]}, nil
}

// decodeObject reads a JSON object; value must consume the value of each key. A key may occur once.
func decodeObject(dec *json.Decoder, value func(key string) error) error {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("want an object"), err)
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := t.(string)
		if !ok || seen[key] {
			return fmt.Errorf("key %v is not a string or occurs twice", t)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}
