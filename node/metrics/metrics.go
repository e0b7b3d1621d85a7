// Package metrics serves the figures of a node to Prometheus, those of each swarm under a label of its own.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/MordragT/nuka/protocol"
)

// Metrics are the figures of a node. They are safe for use by several goroutines. A nil Metrics collects nothing.
type Metrics struct {
	own *prometheus.Registry

	mu     sync.Mutex
	swarms map[string]*prometheus.Registry // of each membership, by its mesh
}

// Registerer returns the registry for a membership that begins now. It drops the figures of an earlier membership in the same mesh; "" is the
// public swarm.
func (m *Metrics) Registerer(mesh string) prometheus.Registerer {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := prometheus.NewRegistry()
	m.swarms[mesh] = r
	if mesh == "" {
		mesh = "public"
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"swarm": mesh}, r)
}

// Forget drops the figures of a membership that has ended.
func (m *Metrics) Forget(mesh string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.swarms, mesh)
}

// all returns all figures of now.
func (m *Metrics) all() prometheus.Gatherers {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := prometheus.Gatherers{m.own}
	for _, r := range m.swarms {
		all = append(all, r)
	}
	return all
}

// Serve listens at an address of this machine and serves until ctx ends; then it closes done. The address "" gives a nil Metrics.
func Serve(ctx context.Context, address string, log *slog.Logger) (m *Metrics, done <-chan struct{}, err error) {
	ended := make(chan struct{})
	if address == "" {
		close(ended)
		return nil, ended, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, protocol.Errorf(protocol.Invalid, "setting metrics: %w", err)
	}
	m = &Metrics{own: prometheus.NewRegistry(), swarms: map[string]*prometheus.Registry{}}
	m.own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		promhttp.HandlerFor(m.all(), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(ended)
		stop := context.AfterFunc(ctx, func() { server.Close() })
		defer stop()
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics", "error", err)
		}
	}()
	return m, ended, nil
}
