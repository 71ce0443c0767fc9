package node

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// wordTokens cuts text into tokens of a vocabulary that it makes from the text, to have a token file out of the box:
//
//	0 to 255     the byte
//	256 onwards  the most frequent words of the text, most frequent first, of equals the smaller in byte order; a word is
//	             a run of at least two ASCII letters with the space before it, if there is one, and occurs twice or more
//
// Every word that has a token becomes that token, every byte of the rest becomes its own. It uses no more than vocab and
// 2^16 tokens.
func wordTokens(text []byte, vocab int) ([]uint32, error) {
	if vocab < 256 {
		return nil, fmt.Errorf("model.vocab = %d is too small for words and bytes, want at least 256", vocab)
	}
	counts := make(map[string]int)
	for rest := text; len(rest) > 0; {
		n := wordAt(rest)
		if n > 0 {
			counts[string(rest[:n])]++
		}
		rest = rest[max(n, 1):]
	}
	var words []string
	for w, n := range counts {
		if n > 1 {
			words = append(words, w)
		}
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	words = words[:min(len(words), min(vocab, 1<<16)-256)]
	ids := make(map[string]uint32, len(words))
	for i, w := range words {
		ids[w] = uint32(256 + i)
	}
	var tokens []uint32
	for rest := text; len(rest) > 0; {
		if n := wordAt(rest); n > 0 {
			if id, ok := ids[string(rest[:n])]; ok {
				tokens = append(tokens, id)
			} else {
				for _, b := range rest[:n] {
					tokens = append(tokens, uint32(b))
				}
			}
			rest = rest[n:]
			continue
		}
		tokens, rest = append(tokens, uint32(rest[0])), rest[1:]
	}
	return tokens, nil
}

// wordAt returns the length of the word that text begins with, 0 if it begins with none.
func wordAt(text []byte) int {
	body := bytes.TrimPrefix(text, []byte(" "))
	n := 0
	for n < len(body) && (body[n]|0x20 >= 'a' && body[n]|0x20 <= 'z') {
		n++
	}
	if n < 2 {
		return 0
	}
	return len(text) - len(body) + n
}
