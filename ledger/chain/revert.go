package chain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// RevertError is a contract's refusal.
type RevertError struct {
	// Name is the contract's error, such as "OverEpochCap"; "Error" with a text in Args for a plain message; "unknown"
	// when the chain did not say.
	Name string
	// Args are the error's values, in the contract's order and with their names.
	Args []RevertArg
}

// RevertArg is one value of a RevertError.
type RevertArg struct {
	Name  string
	Value any
}

func (e *RevertError) Error() string {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = fmt.Sprintf("%s %v", a.Name, a.Value)
	}
	return fmt.Sprintf("contract refused: %s(%s)", e.Name, strings.Join(args, ", "))
}

// explain turns an answer with revert data into a *RevertError; other errors pass unchanged.
func explain(err error) error {
	var withData rpc.DataError
	if !errors.As(err, &withData) {
		return err
	}
	text, ok := withData.ErrorData().(string)
	if !ok {
		return err
	}
	data, decodeErr := hexutil.Decode(text)
	if decodeErr != nil || len(data) < 4 {
		return err
	}
	if message, unpackErr := abi.UnpackRevert(data); unpackErr == nil {
		return &RevertError{Name: "Error", Args: []RevertArg{{"message", message}}}
	}
	for _, contract := range []abi.ABI{distributorABI.GetABI(), escrowABI.GetABI(), tokenABI.GetABI()} {
		for _, def := range contract.Errors {
			if [4]byte(def.ID[:4]) != [4]byte(data[:4]) {
				continue
			}
			values, unpackErr := def.Inputs.Unpack(data[4:])
			if unpackErr != nil {
				return err
			}
			e := &RevertError{Name: def.Name, Args: make([]RevertArg, len(values))}
			for i, v := range values {
				e.Args[i] = RevertArg{def.Inputs[i].Name, v}
			}
			return e
		}
	}
	return err
}
