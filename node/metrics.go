package node

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

// metrics are the node's figures for Prometheus. A nil metrics collects nothing.
type metrics struct {
	own *prometheus.Registry

	mu     sync.Mutex
	swarms map[string]*prometheus.Registry // of each membership, by its mesh
}

// registerer returns where the figures of a membership go that begins now; those of an earlier one are forgotten.
func (m *metrics) registerer(mesh string) prometheus.Registerer {
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

// forget forgets the figures of a membership that has ended.
func (m *metrics) forget(mesh string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.swarms, mesh)
}

// all returns all figures that there are now.
func (m *metrics) all() prometheus.Gatherers {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := prometheus.Gatherers{m.own}
	for _, r := range m.swarms {
		all = append(all, r)
	}
	return all
}

// newMetrics listens at an address of this machine's, and serves until ctx ends; done is closed then.
// An address "" gives a nil metrics.
func newMetrics(ctx context.Context, address string, log *slog.Logger) (*metrics, <-chan struct{}, error) {
	done := make(chan struct{})
	if address == "" {
		close(done)
		return nil, done, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, protocol.Errorf(protocol.Invalid, "setting metrics: %v", err)
	}
	m := &metrics{own: prometheus.NewRegistry(), swarms: map[string]*prometheus.Registry{}}
	m.own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		promhttp.HandlerFor(m.all(), promhttp.HandlerOpts{}).ServeHTTP(w, r)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(done)
		stop := context.AfterFunc(ctx, func() { server.Close() })
		defer stop()
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics", "error", err)
		}
	}()
	return m, done, nil
}
