package chain

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"
)

// httpServer is the loopback JSON-RPC listener of an embedded chain: the same methods and bounds as for peers.
type httpServer struct {
	server *http.Server
	addr   net.Addr
	done   chan struct{} // closed when the accept loop has ended
}

// listen serves h on a loopback address. Other addresses are refused: the chain is for this machine and, through
// streams that the node authenticates, for the run's peers.
func listen(addr string, h *RPCHandler) (*httpServer, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("chain: HTTP address %q: %w", addr, err)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("chain: HTTP address %q is not a loopback address; use 127.0.0.1:PORT", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("chain: listen for JSON-RPC: %w", err)
	}
	s := &httpServer{addr: l.Addr(), done: make(chan struct{})}
	s.server = &http.Server{
		Handler:           http.HandlerFunc(h.serveHTTP),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      requestTimeout + 5*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	go func() {
		defer close(s.done)
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("JSON-RPC listener ended", "err", err)
		}
	}()
	return s, nil
}

func (s *httpServer) close() error {
	err := s.server.Close()
	<-s.done
	return err
}

// serveHTTP insists on a loopback Host and on JSON, so that no web page can reach the chain through a browser: a
// foreign name that resolves to this machine shows in Host, and a page cannot send JSON across origins unasked.
func (h *RPCHandler) serveHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	switch {
	case !isLoopback(host):
		http.Error(w, "host is not loopback", http.StatusForbidden)
		return
	case r.Method != http.MethodPost:
		http.Error(w, "JSON-RPC wants POST", http.StatusMethodNotAllowed)
		return
	case !isJSON(r.Header.Get("Content-Type")):
		http.Error(w, "JSON-RPC wants application/json", http.StatusUnsupportedMediaType)
		return
	}
	req, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestBytes))
	if err != nil {
		http.Error(w, "request is too large or broken", http.StatusRequestEntityTooLarge)
		return
	}
	resp, err := h.Serve(r.Context(), req)
	if err != nil {
		http.Error(w, "no answer in time", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(resp); err != nil {
		h.log.Debug("JSON-RPC answer not delivered", "err", err)
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == "application/json"
}
