package metrics

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A swarm that was left and is joined again has its figures once, and those of a mesh beside it.
func TestMetrics(t *testing.T) {
	m := &Metrics{own: prometheus.NewRegistry(), swarms: map[string]*prometheus.Registry{}}
	join := func(mesh string, value float64) {
		t.Helper()
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "peers"})
		g.Set(value)
		if err := m.Registerer(mesh).Register(g); err != nil {
			t.Errorf("join %q: %v", mesh, err)
		}
	}
	values := func() map[string]float64 {
		t.Helper()
		families, err := m.all().Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, x := range f.GetMetric() {
				got[x.GetLabel()[0].GetValue()] = x.GetGauge().GetValue()
			}
		}
		return got
	}
	join("", 1)
	join("team", 2)
	m.Forget("team")
	if got := values(); len(got) != 1 || got["public"] != 1 {
		t.Errorf("got %v", got)
	}
	join("", 3)
	join("team", 4)
	if got := values(); len(got) != 2 || got["public"] != 3 || got["team"] != 4 {
		t.Errorf("got %v", got)
	}
	var none *Metrics
	if none.Forget(""); none.Registerer("") != nil {
		t.Error("figures that nobody asked for")
	}
}
