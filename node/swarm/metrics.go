package swarm

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// measure registers the swarm's figures, which are read when somebody asks for them.
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
			Help: "Peers that the DHT named as providers of a root, by the result of asking them. Many without the root or unreachable mean that some peers lie.", ConstLabels: prometheus.Labels{"result": result}},
			func() float64 { return float64(value()) })
	}
	book := s.host.Book()
	var errs []error
	for _, c := range []prometheus.Collector{
		gauge("peers", "Connected peers.", func() float64 { return float64(s.host.Count()) }),
		gauge("table", "Peers in the routing table of the DHT.", func() float64 { return float64(s.Status().Table) }),
		gauge("provided", "Keys announced in the DHT.", func() float64 { return float64(s.Status().Provided) }),
		counter("received_bytes_total", "Bytes from peers.", book.Received.Load),
		counter("sent_bytes_total", "Bytes to peers.", book.Sent.Load),
		counter("lies_total", "Times a peer sent what an honest peer cannot send.", book.Lies.Load),
		counter("stalls_total", "Times a provider was late with a leaf and the node asked other providers for it.", s.fetcher.Stalls.Load),
		provider("holder", s.fetcher.Proved.Load),
		provider("without", s.fetcher.Without.Load),
		provider("unreachable", s.fetcher.Unreachable.Load),
		counter("failures_total", "Times the node stopped asking a peer because it failed.", book.Failures.Load),
	} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}
