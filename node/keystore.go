package node

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"

	"drystone/internal/durable"
	"drystone/protocol"
)

// ErrPassphrase means that a key file's passphrase is wrong or missing.
var ErrPassphrase = errors.New("wrong or missing passphrase")

// keyFile is the part of a key file that tells its kind. Encrypted files are Web3 Secret Storage version 3, which every
// Ethereum wallet reads; unencrypted ones hold "unencrypted_secret" so that nobody mistakes them.
type keyFile struct {
	Address string          `json:"address"`
	Crypto  json.RawMessage `json:"crypto,omitempty"`
	Plain   string          `json:"unencrypted_secret,omitempty"`
	Peer    string          `json:"peer_id,omitempty"`
}

// WriteKey writes a new key file, readable by the owner only. It never replaces one. An empty passphrase is refused:
// a key without encryption is WritePlainKey's explicit choice.
func WriteKey(path string, k protocol.Key, passphrase string) error {
	if passphrase == "" {
		return fmt.Errorf("key file %s: an empty passphrase; choose --unencrypted to store the key in the clear: %w", path, ErrPassphrase)
	}
	secret := k.Secret()
	priv, err := crypto.ToECDSA(secret[:])
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	ek := &keystore.Key{Id: id, Address: crypto.PubkeyToAddress(priv.PublicKey), PrivateKey: priv}
	data, err := keystore.EncryptKey(ek, passphrase, keystore.StandardScryptN, keystore.StandardScryptP)
	if err != nil {
		return fmt.Errorf("encrypt key file %s: %w", path, err)
	}
	return writeNew(path, data)
}

// WritePlainKey writes a new key file without encryption.
func WritePlainKey(path string, k protocol.Key) error {
	addr, err := k.ID().Address()
	if err != nil {
		return err
	}
	secret := k.Secret()
	data, err := json.MarshalIndent(keyFile{Address: addr.String(), Plain: hex.EncodeToString(secret[:]), Peer: k.ID().String()}, "", "  ")
	if err != nil {
		return err
	}
	return writeNew(path, append(data, '\n'))
}

func writeNew(path string, data []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("key file %s exists; name another or move it away first", path)
	}
	return durable.WriteFile(path, data, 0o600)
}

// ReadKey reads a key file. passphrase is asked only if the file is encrypted.
func ReadKey(path string, passphrase func() (string, error)) (protocol.Key, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return protocol.Key{}, fmt.Errorf("key file: %w; make one with \"drystone key new\"", err)
	}
	var f keyFile
	if err := json.Unmarshal(data, &f); err != nil {
		return protocol.Key{}, fmt.Errorf("key file %s is not JSON: %w", path, err)
	}
	if f.Plain != "" {
		return parseSecret(path, f.Plain)
	}
	if len(f.Crypto) == 0 {
		return protocol.Key{}, fmt.Errorf("key file %s holds no key", path)
	}
	phrase, err := passphrase()
	if err != nil {
		return protocol.Key{}, fmt.Errorf("key file %s: %w", path, err)
	}
	ek, err := keystore.DecryptKey(data, phrase)
	if err != nil {
		return protocol.Key{}, fmt.Errorf("key file %s: %w: %w", path, ErrPassphrase, err)
	}
	return protocol.NewKey([32]byte(crypto.FromECDSA(ek.PrivateKey)))
}

func parseSecret(path, text string) (protocol.Key, error) {
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != 32 {
		return protocol.Key{}, fmt.Errorf("key file %s: the secret is not 64 hexadecimal digits", path)
	}
	k, err := protocol.NewKey([32]byte(b))
	if err != nil {
		return k, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}
