package monitoring

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/gate"
)

// exposition is what a test's exporter tells; each has a number, by which it is known that it has been scraped.
type exposition struct {
	mu     sync.Mutex
	number int
	text   string
}

func (e *exposition) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = fmt.Fprintf(w, "exposition %d\n%s", e.number, e.text)
}

// tell sets it, and waits until Prometheus has seen it.
func (e *exposition) tell(t *testing.T, p gate.Prometheus, lines ...string) {
	t.Helper()
	e.mu.Lock()
	e.number++
	e.text = strings.Join(lines, "\n") + "\n"
	seen := fmt.Sprintf("exposition == bool %d", e.number)
	e.mu.Unlock()
	becomes(t, gate.Healthy{Prometheus: p, Name: "seen", PromQL: seen}, "")
}

// recipe is what a query must say: to each of no it says no reboot, or not yet.
type recipe struct{ yes, no [][]string }

const (
	cordoned  = `kube_node_spec_unschedulable{node="b"} 1`
	inService = `kube_node_spec_unschedulable{node="b"} 0`
	longhorn  = `longhorn_node_status{node="b",condition="ready"} 1`
)

func lines(l ...string) []string { return l }

// robustness is how Longhorn says it since it has the label state.
func robustness(now string) []string {
	l := lines(longhorn)
	for _, state := range lines("unknown", "healthy", "degraded", "faulted") {
		value := 0
		if state == now {
			value = 1
		}
		l = append(l, fmt.Sprintf(`longhorn_volume_robustness{volume="a",state=%q} %d`, state, value))
	}
	return l
}

func recipes() map[string]recipe {
	etcd := func(up ...int) []string {
		var l []string
		for i, u := range up {
			l = append(l, fmt.Sprintf(`up{job="kube-etcd",instance="%d"} %d`, i, u))
		}
		return l
	}
	return map[string]recipe{
		"block-query ceph": {
			yes: [][]string{lines("ceph_health_status 0", inService), lines("ceph_health_status 1", inService, cordoned2), lines(cordoned)},
			no:  [][]string{lines("ceph_health_status 1", inService), lines("ceph_health_status 2"), lines(inService)},
		},
		"healthy-query ceph": {
			yes: [][]string{lines("ceph_health_status 0")},
			no:  [][]string{lines("ceph_health_status 1"), lines("other 1"), lines(`ceph_health_status{c="a"} 0`, `ceph_health_status{c="b"} 2`)},
		},
		"block-query longhorn": {
			yes: [][]string{lines(`longhorn_volume_robustness{volume="a"} 1`, `longhorn_volume_robustness{volume="b"} 0`, longhorn), lines(`longhorn_volume_robustness{volume="a"} 2`, longhorn, cordoned), lines(longhorn),
				robustness("healthy"), append(robustness("degraded"), cordoned)},
			no: [][]string{lines(`longhorn_volume_robustness{volume="a"} 1`, `longhorn_volume_robustness{volume="b"} 2`, longhorn, inService), lines(`longhorn_volume_robustness{volume="a"} 3`, longhorn), lines("other 1"),
				robustness("degraded"), robustness("faulted")},
		},
		"healthy-query longhorn": {
			yes: [][]string{lines(`longhorn_volume_robustness{volume="a"} 1`, `longhorn_volume_robustness{volume="b"} 0`, longhorn), lines(longhorn), robustness("healthy"), robustness("unknown")},
			no: [][]string{lines(`longhorn_volume_robustness{volume="a"} 1`, `longhorn_volume_robustness{volume="b"} 2`, longhorn), lines(`longhorn_volume_robustness{volume="a"} 3`, longhorn), lines("other 1"),
				robustness("degraded"), robustness("faulted")},
		},
		"block-query etcd": {
			yes: [][]string{etcd(1, 1, 1), etcd(1, 1, 1, 1, 0)},
			no:  [][]string{etcd(1, 1, 0), etcd(1), etcd(0, 0, 0), etcd(1, 1), etcd(1, 1, 1, 0, 0), lines("other 1")},
		},
		"healthy-query etcd": {
			yes: [][]string{lines(`etcd_server_has_leader{i="1"} 1`, `etcd_server_has_leader{i="2"} 1`)},
			no:  [][]string{lines(`etcd_server_has_leader{i="1"} 1`, `etcd_server_has_leader{i="2"} 0`), lines("other 1")},
		},
		"block-query postgres-replica": {
			yes: [][]string{lines(`cnpg_pg_replication_in_recovery{pod="a"} 0`, `cnpg_pg_replication_is_wal_receiver_up{pod="a"} 0`,
				`cnpg_pg_replication_in_recovery{pod="b"} 1`, `cnpg_pg_replication_is_wal_receiver_up{pod="b"} 1`)},
			no: [][]string{lines(`cnpg_pg_replication_in_recovery{pod="b"} 1`, `cnpg_pg_replication_is_wal_receiver_up{pod="b"} 0`)},
		},
		"block-query postgres-lag": {
			yes: [][]string{lines(`cnpg_pg_replication_lag{pod="a"} 30`)},
			no:  [][]string{lines(`cnpg_pg_replication_lag{pod="a"} 0`, `cnpg_pg_replication_lag{pod="b"} 31`)},
		},
		"healthy-query postgres": {
			yes: [][]string{lines(`cnpg_pg_replication_in_recovery{pod="a"} 0`, `cnpg_pg_replication_is_wal_receiver_up{pod="a"} 0`,
				`cnpg_pg_replication_in_recovery{pod="b"} 1`, `cnpg_pg_replication_is_wal_receiver_up{pod="b"} 1`)},
			no: [][]string{lines(`cnpg_pg_replication_in_recovery{pod="b"} 1`, `cnpg_pg_replication_is_wal_receiver_up{pod="b"} 0`), lines("other 1")},
		},
		"block-query kafka": {
			yes: [][]string{lines("kafka_server_replicamanager_underreplicatedpartitions 0"), lines("kafka_server_replicamanager_underreplicatedpartitions 4", cordoned)},
			no:  [][]string{lines("kafka_server_replicamanager_underreplicatedpartitions 4", inService)},
		},
		"healthy-query kafka": {
			yes: [][]string{lines("kafka_server_replicamanager_underreplicatedpartitions 0")},
			no:  [][]string{lines("kafka_server_replicamanager_underreplicatedpartitions 4"), lines("other 1")},
		},
		"block-query elasticsearch": {
			yes: [][]string{lines(`elasticsearch_cluster_health_status{color="green"} 1`, `elasticsearch_cluster_health_status{color="yellow"} 0`),
				lines(`elasticsearch_cluster_health_status{color="yellow"} 1`, cordoned)},
			no: [][]string{lines(`elasticsearch_cluster_health_status{color="green"} 0`, `elasticsearch_cluster_health_status{color="yellow"} 1`),
				lines(`elasticsearch_cluster_health_status{color="red"} 1`)},
		},
		"healthy-query elasticsearch": {
			yes: [][]string{lines(`elasticsearch_cluster_health_status{color="green"} 1`, `elasticsearch_cluster_health_status{color="yellow"} 0`)},
			no:  [][]string{lines(`elasticsearch_cluster_health_status{color="green"} 0`, `elasticsearch_cluster_health_status{color="yellow"} 1`), lines("other 1")},
		},
		"block-query deployments": {
			yes: [][]string{lines(`kube_deployment_status_replicas_unavailable{namespace="prod"} 0`, `kube_deployment_status_replicas_unavailable{namespace="dev"} 3`),
				lines(`kube_deployment_status_replicas_unavailable{namespace="prod"} 1`, cordoned)},
			no: [][]string{lines(`kube_deployment_status_replicas_unavailable{namespace="payments"} 1`, inService)},
		},
		"healthy-query deployments": {
			yes: [][]string{lines(`kube_deployment_status_replicas_unavailable{namespace="prod"} 0`, `kube_deployment_status_replicas_unavailable{namespace="dev"} 3`)},
			no:  [][]string{lines(`kube_deployment_status_replicas_unavailable{namespace="prod"} 2`), lines("other 1")},
		},
		"block-query jobs": {
			yes: [][]string{lines(`kube_job_status_active{namespace="batch"} 0`, `kube_job_status_active{namespace="other"} 1`)},
			no:  [][]string{lines(`kube_job_status_active{namespace="batch"} 1`)},
		},
		"block-query young": {
			yes: [][]string{lines(started(time.Hour)), lines(started(time.Minute), cordoned)},
			no:  [][]string{lines(started(time.Minute), inService)},
		},
	}
}

const cordoned2 = `kube_node_spec_unschedulable{node="c"} 1`

func started(ago time.Duration) string {
	return fmt.Sprintf(`process_start_time_seconds{job="kube-prometheus"} %d`, time.Now().Add(-ago).Unix())
}

// Every query in docs/recipes.md is an option that is accepted, and says what it is there for.
func TestRecipes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--node-name=n", "--prometheus-url=http://p"}
	for _, flag := range regexp.MustCompile(`(?m)^--([a-z-]+)='?(.*?)'?$`).FindAllStringSubmatch(string(page), -1) {
		args = append(args, "--"+flag[1]+"="+flag[2])
	}
	c, err := config.Parse(args, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	e := &exposition{}
	s := Prometheus(t, strings.Replace(fmt.Sprintf(quick, exporter(t, e.ServeHTTP)), "- job_name: self", "- job_name: self\n  honor_labels: true", 1),
		map[string]string{"rules.yml": ""}, nil)
	p := gate.Prometheus{Server: server(t, s.URL(), "")}
	untried := recipes()
	try := func(name string, g gateAsked) {
		r, ok := untried[name]
		if !ok {
			t.Errorf("the %s is not tried", name)
		}
		delete(untried, name)
		for want, tries := range map[bool][][]string{true: r.yes, false: r.no} {
			if len(tries) == 0 {
				t.Errorf("the %s is not tried for %t", name, want)
			}
			for _, series := range tries {
				e.tell(t, p, series...)
				if v := g.Ask(t.Context(), nil); v.Open != want {
					t.Errorf("%s with %q: %+v", name, series, v)
				}
			}
		}
	}
	for _, q := range c.BlockQueries {
		try("block-query "+q.Name, gate.Query{Prometheus: p, Name: q.Name, PromQL: q.PromQL})
	}
	for _, q := range c.HealthyQueries {
		try("healthy-query "+q.Name, gate.Healthy{Prometheus: p, Name: q.Name, PromQL: q.PromQL})
	}
	for name := range untried {
		t.Errorf("docs/recipes.md has no %s", name)
	}
}
