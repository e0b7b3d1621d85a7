package swarm

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// measure registers the swarm's figures. They are read from what there is when somebody asks.
func (s *Swarm) measure(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "nuka", Subsystem: "swarm", Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "nuka", Subsystem: "swarm", Name: name, Help: help},
			func() float64 { return float64(value()) })
	}
	provider := func(result string, value func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "nuka", Subsystem: "swarm", Name: "providers_total",
			Help: "Peers that the DHT named for a root, by what they proved to be. Many without it or unreachable: somebody lies.", ConstLabels: prometheus.Labels{"result": result}},
			func() float64 { return float64(value()) })
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		gauge("peers", "Connected peers.", func() float64 { return float64(len(s.host.Network().Peers())) }),
		gauge("table", "Peers in the routing table of the DHT.", func() float64 { return float64(s.Status().Table) }),
		gauge("provided", "Keys announced in the DHT.", func() float64 { return float64(s.Status().Provided) }),
		counter("received_bytes_total", "Bytes from peers.", s.peers.received.Load),
		counter("sent_bytes_total", "Bytes to peers.", s.peers.sent.Load),
		counter("lies_total", "Times a peer gave what an honest one cannot give.", s.peers.lies.Load),
		counter("stalls_total", "Times a peer was late with a leaf, which was asked of others then.", s.peers.stalls.Load),
		provider("holder", s.peers.providers.holders.Load),
		provider("without", s.peers.providers.without.Load),
		provider("unreachable", s.peers.providers.unreachable.Load),
		counter("failures_total", "Times a peer was left alone because it failed.", s.peers.failures.Load),
	} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}
