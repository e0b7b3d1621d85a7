package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/MordragT/nuka/protocol"
)

// metrics are the node's figures for Prometheus. A nil metrics collects nothing.
type metrics struct{ registry *prometheus.Registry }

// registerer returns where the figures of one membership go.
func (m *metrics) registerer(mesh string) prometheus.Registerer {
	if m == nil {
		return nil
	}
	if mesh == "" {
		mesh = "public"
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"swarm": mesh}, m.registry)
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
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
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
