package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"drystone/node"
	"drystone/protocol"
)

// keyFlags choose the key of a command that acts in its own name.
type keyFlags struct {
	Key          string `help:"Key file; made if absent. Default: key.json in the data directory." type:"path"`
	PasswordFile string `help:"File whose first line is the key's passphrase." type:"path"`
	Unencrypted  bool   `help:"Make a new key file without a passphrase: whoever reads the file has the key and its money."`
}

// open reads the key, or makes one where there is none yet.
func (f *keyFlags) open(t *terminal, dir string) (protocol.Key, error) {
	path := f.Key
	if path == "" {
		path = filepath.Join(dir, "key.json")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return f.read(t, path)
	}
	k, err := protocol.GenerateKey()
	if err != nil {
		return k, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return k, fmt.Errorf("key directory: %w", err)
	}
	if err := f.write(t, path, k); err != nil {
		return k, err
	}
	fmt.Fprintf(t.err, "new key %s in %s; keep a copy, nobody can restore it\n", k.ID(), path)
	return k, nil
}

// read reads an existing key.
func (f *keyFlags) read(t *terminal, path string) (protocol.Key, error) {
	k, err := node.ReadKey(path, func() (string, error) { return f.passphrase(t, "Passphrase of "+path) })
	return k, unusable(err)
}

// write stores a new key as the flags say.
func (f *keyFlags) write(t *terminal, path string, k protocol.Key) error {
	if f.Unencrypted {
		return node.WritePlainKey(path, k)
	}
	phrase, err := f.newPassphrase(t, path)
	if err != nil {
		return err
	}
	return node.WriteKey(path, k, phrase)
}

// passphrase reads the passphrase of an existing key.
func (f *keyFlags) passphrase(t *terminal, prompt string) (string, error) {
	if f.PasswordFile != "" {
		data, err := os.ReadFile(f.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("password file: %w", err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		return strings.TrimRight(line, "\r"), nil
	}
	if !isTerminal(t.in) {
		return "", fmt.Errorf("%w: no terminal to ask for a passphrase; name a --password-file, or choose --unencrypted for a new key", errUsage)
	}
	fmt.Fprintf(t.err, "%s: ", prompt)
	phrase, err := term.ReadPassword(int(t.in.Fd()))
	fmt.Fprintln(t.err)
	return string(phrase), err
}

// newPassphrase asks twice.
func (f *keyFlags) newPassphrase(t *terminal, path string) (string, error) {
	phrase, err := f.passphrase(t, "New passphrase for "+path)
	if err != nil || f.PasswordFile != "" {
		return phrase, err
	}
	again, err := f.passphrase(t, "The same again")
	if err == nil && phrase != again {
		err = fmt.Errorf("%w: the two passphrases differ", errUsage)
	}
	return phrase, err
}

type keyCmd struct {
	New  keyNewCmd  `cmd:"" help:"Make a new key file."`
	Show keyShowCmd `cmd:"" help:"Show a key's peer ID and address."`
}

type keyNewCmd struct {
	Path string `arg:"" help:"File to write; it must not exist." type:"path"`
	keyFlags
	JSON bool `help:"Print one JSON object."`
}

// Run makes a key.
func (c *keyNewCmd) Run(t *terminal) error {
	k, err := protocol.GenerateKey()
	if err != nil {
		return err
	}
	if err := c.write(t, c.Path, k); err != nil {
		return unusable(err)
	}
	return showKey(t, k, c.JSON)
}

type keyShowCmd struct {
	Path string `arg:"" help:"Key file." type:"path"`
	keyFlags
	JSON bool `help:"Print one JSON object."`
}

// Run shows a key's public half.
func (c *keyShowCmd) Run(t *terminal) error {
	k, err := c.read(t, c.Path)
	if err != nil {
		return err
	}
	return showKey(t, k, c.JSON)
}

func showKey(t *terminal, k protocol.Key, asJSON bool) error {
	addr, err := k.ID().Address()
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(t.out, map[string]any{"peer_id": k.ID(), "address": addr})
	}
	_, err = fmt.Fprintf(t.out, "peer     %s\naddress  %s\n", k.ID(), addr)
	return err
}
