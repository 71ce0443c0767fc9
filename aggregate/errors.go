package aggregate

import (
	"errors"
	"fmt"
)

// ErrRefused is wrapped by every refusal of Apply. A refused record has changed nothing, and every replica refuses it
// with the same text. The errors below are the reasons that a caller decides on; each refusal wraps exactly one.
var (
	ErrRefused   = errors.New("record refused")
	ErrInvalid   = errors.New("invalid")                   // no honest author sends it: bad encoding, signature or contents
	ErrDuplicate = errors.New("already there")             // the same thing was accepted before; nothing is lost
	ErrEarly     = errors.New("too early")                 // may be accepted later
	ErrLate      = errors.New("too late")                  // what it speaks of is closed
	ErrDiffers   = errors.New("differs from what follows") // another statement, segment or settlement than the rules give
)

// reasons gives each refusal a code for the wire.
var reasons = [...]error{nil, ErrInvalid, ErrDuplicate, ErrEarly, ErrLate, ErrDiffers}

// Refusal is the error that Apply returns for a record it refuses. It matches ErrRefused and its reason.
type Refusal struct {
	reason error
	text   string
}

// Error says what was refused and why.
func (r *Refusal) Error() string { return r.text }

// Unwrap lets errors.Is find ErrRefused and the reason.
func (r *Refusal) Unwrap() []error { return []error{ErrRefused, r.reason} }

// Code returns a number from 1 to 255 for the reason, from which NewRefusal makes an equal error elsewhere.
func (r *Refusal) Code() uint8 {
	for i, reason := range reasons {
		if reason == r.reason {
			return uint8(i)
		}
	}
	return 1
}

// NewRefusal makes the refusal that has this code and text. An unknown code is read as ErrInvalid.
func NewRefusal(code uint8, text string) *Refusal {
	if code == 0 || int(code) >= len(reasons) {
		code = 1
	}
	return &Refusal{reason: reasons[code], text: text}
}

func refuse(reason error, format string, args ...any) error {
	return &Refusal{reason: reason, text: fmt.Sprintf(format, args...) + ": " + reason.Error()}
}
