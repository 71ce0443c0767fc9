package gossip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrTooLarge means that a peer announced more bytes than the reader allows. Nothing of them was read.
var ErrTooLarge = errors.New("exceeds the limit")

// A frame is a big-endian uint32 length and as many bytes.

func appendFrame(dst, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// readFrame reads one frame of at most max bytes. Memory grows with what arrives, not with what is announced.
func readFrame(r io.Reader, max int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read frame length: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > int64(max) {
		return nil, fmt.Errorf("frame of %d bytes, at most %d: %w", n, max, ErrTooLarge)
	}
	var buf bytes.Buffer
	buf.Grow(int(min(n, 64<<10)))
	got, err := io.Copy(&buf, io.LimitReader(r, n))
	if err == nil && got < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read frame: %d of %d bytes: %w", got, n, err)
	}
	return buf.Bytes(), nil
}

// cleanLine makes a text from outside fit for a log or a terminal: one line, printable, at most maxErrLine bytes.
func cleanLine(s string) string {
	if len(s) > maxErrLine {
		s = s[:maxErrLine]
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
