package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// peer is the other side of a comparison: a Python process that waits for a line, measures once, and answers with a line.
//
//	-> process starts        {"what": "PyTorch 2", "version": "...", "params": 1}  or  {"missing": "numpy"}
//	-> "1024\n"              {"seconds": 0.0123}                                   per call
//	-> end of input          process ends
type peer struct {
	hello hello
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	talk  *bytes.Buffer
}

type hello struct {
	What    string `json:"what"`    // short name
	Version string `json:"version"` // versions of all that matters
	Params  int    `json:"params"`  // of a model
	Missing string `json:"missing"` // module that is not installed
}

// startPeer starts a script with the same number of threads as this side as its first argument, and then args. It returns a skipped error if Python or a
// module is missing.
func (e *Env) startPeer(ctx context.Context, script string, args ...string) (p *peer, err error) {
	python, err := exec.LookPath(e.Python)
	if err != nil {
		return nil, skipped(fmt.Sprintf("needs a Python that has the peer installed; %q is not there (--python)", e.Python))
	}
	p = &peer{cmd: exec.CommandContext(ctx, python, append([]string{"-u", "-c", script, fmt.Sprint(e.Threads)}, args...)...), talk: new(bytes.Buffer)}
	p.cmd.Env, p.cmd.Stderr = peerEnviron(os.Environ(), e.Threads), p.talk
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.read(&p.hello); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.hello.Missing != "" {
		return nil, errors.Join(skipped(fmt.Sprintf("needs Python's %s, which %s does not have (--python)", p.hello.Missing, e.Python)), p.close())
	}
	return p, nil
}

// peerEnviron is an environment without what tunes a numerical library, and with the number of its threads. A machine
// may for instance name an OpenBLAS kernel of an older processor in it, which the peer would then run.
func peerEnviron(environ []string, threads int) []string {
	environ = slices.DeleteFunc(slices.Clone(environ), func(s string) bool {
		for _, prefix := range []string{"OPENBLAS_", "OMP_", "KMP_", "GOMP_", "MKL_", "DNNL_", "ONEDNN_", "ATEN_", "TORCH"} {
			if strings.HasPrefix(s, prefix) {
				return true
			}
		}
		return false
	})
	for _, name := range []string{"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} {
		environ = append(environ, fmt.Sprintf("%s=%d", name, threads))
	}
	return environ
}

// settle is how long a side rests before its turn: threads of the other side's pool spin for a while after their work.
const settle = 250 * time.Millisecond

// ask has the peer measure once and returns its seconds.
func (p *peer) ask(line string) (float64, error) {
	time.Sleep(settle)
	defer time.Sleep(settle)
	var answer struct {
		Seconds float64 `json:"seconds"`
	}
	if err := p.exchange(line, &answer); err != nil {
		return 0, err
	}
	if answer.Seconds <= 0 {
		return 0, fmt.Errorf("peer: measured %v seconds", answer.Seconds)
	}
	return answer.Seconds, nil
}

// exchange sends a line and decodes the answer into v.
func (p *peer) exchange(line string, v any) error {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return fmt.Errorf("peer: %w\n%s", err, p.talk)
	}
	return p.read(v)
}

func (p *peer) read(v any) error {
	if !p.out.Scan() {
		return fmt.Errorf("peer: ended without an answer: %w\n%s", errors.Join(p.out.Err(), io.ErrUnexpectedEOF), strings.TrimSpace(p.talk.String()))
	}
	if err := json.Unmarshal(p.out.Bytes(), v); err != nil {
		return fmt.Errorf("peer: %w in %q", err, p.out.Text())
	}
	return nil
}

// close ends the process.
func (p *peer) close() error {
	p.in.Close()
	return p.cmd.Wait()
}
