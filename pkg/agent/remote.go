package agent

import (
	"fmt"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/remote"
)

// remoteGates are those that ask Prometheus and Alertmanager: before a reboot, and after it whether all is well again.
func remoteGates(c config.Config, version string) (costly, healthy []Gate, err error) {
	agent := name + "/" + version
	if c.PrometheusURL != "" {
		server, err := remote.New(c.PrometheusURL, c.PrometheusHTTPConfig, agent)
		if err != nil {
			return nil, nil, fmt.Errorf("--prometheus-url: %w", err)
		}
		prometheus := gate.Prometheus{Server: server}
		costly = append(costly, gate.Alerts{
			Prometheus: prometheus, Filter: c.AlertFilter, MatchOnly: c.AlertFilterMatchOnly, FiringOnly: c.AlertFiringOnly,
		})
		for _, q := range c.BlockQueries {
			costly = append(costly, gate.Query{Prometheus: prometheus, Name: q.Name, PromQL: q.PromQL})
		}
		for _, q := range c.HealthyQueries {
			healthy = append(healthy, gate.Healthy{Prometheus: prometheus, Name: q.Name, PromQL: q.PromQL})
		}
	}
	if len(c.AlertmanagerURLs) > 0 {
		g := gate.Alertmanager{Matchers: c.AlertMatchers}
		for _, address := range c.AlertmanagerURLs {
			server, err := remote.New(address, c.AlertmanagerHTTPConfig, agent)
			if err != nil {
				return nil, nil, fmt.Errorf("--alertmanager-url: %w", err)
			}
			g.Servers = append(g.Servers, server)
		}
		costly = append(costly, g)
	}
	return costly, healthy, nil
}
