package monitoring

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/rebootd/rebootd/pkg/gate"
	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/pkg/silence"
)

// silences are the IDs of those in force, and when the last of them ends.
func silences(t *testing.T, s *Server) (ids []string, end time.Time) {
	t.Helper()
	resp, err := http.Get(s.URL() + "/api/v2/silences")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		ID     string    `json:"id"`
		EndsAt time.Time `json:"endsAt"`
		Status struct {
			State string `json:"state"`
		} `json:"status"`
	}
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, one := range all {
		if one.Status.State == "active" {
			ids = append(ids, one.ID)
			if one.EndsAt.After(end) {
				end = one.EndsAt
			}
		}
	}
	slices.Sort(ids)
	return ids, end
}

func keeper(t *testing.T, servers ...*Server) silence.Keeper {
	t.Helper()
	k := silence.Keeper{Matchers: silence.Default(), Cluster: "west", Now: time.Now}
	for _, s := range servers {
		k.Servers = append(k.Servers, server(t, s.URL(), ""))
	}
	return k
}

// The alerts about a node are silent from the first word to the last, and no other's; nothing piles up.
func TestSilences(t *testing.T) {
	t.Parallel()
	s := Alertmanager(t, inhibits)
	dead := Alertmanager(t, inhibits)
	dead.Stop()
	k, node := keeper(t, dead, s), silence.Node{Name: "worker-1.example.com", IPs: []string{"10.0.0.1", "fd00::1"}}
	g := gate.Alertmanager{Servers: []gate.Server{server(t, s.URL(), "")}}
	set := func(d time.Duration) {
		t.Helper()
		if err := k.Set(t.Context(), node, time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
	}
	var alerts []any
	for _, one := range []map[string]string{
		{"alertname": "A", "node": "worker-1.example.com"}, {"alertname": "B", "instance": "10.0.0.1:9100"},
		{"alertname": "C", "instance": "[fd00::1]:9100"}, {"alertname": "D", "instance": "worker-1.example.com"},
	} {
		alerts = append(alerts, map[string]any{"labels": one})
	}
	post(t, s.URL()+"/api/v2/alerts", alerts)
	becomes(t, g, plan.BlockedByAlert, "4 alerts are active")
	set(time.Hour)
	becomes(t, g, "")
	first, _ := silences(t, s)
	set(2 * time.Hour)
	again, end := silences(t, s)
	if !slices.Equal(first, again) || len(first) != 2 || time.Until(end) < 119*time.Minute {
		t.Errorf("silences %v, then %v until %s", first, again, end)
	}
	post(t, s.URL()+"/api/v2/alerts", []any{map[string]any{"labels": map[string]string{"alertname": "A", "node": "worker-1"}}})
	becomes(t, g, plan.BlockedByAlert, "1 alert is active")
	post(t, s.URL()+"/api/v2/alerts", []any{map[string]any{"labels": map[string]string{"alertname": "A", "node": "worker-1"},
		"endsAt": time.Now().Add(-time.Second).UTC().Format(time.RFC3339)}})
	becomes(t, g, "")
	other := node
	other.Name = "worker-2"
	if err := k.Set(t.Context(), other, time.Now().Add(5*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := k.End(t.Context(), node, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	becomes(t, g, "")
	if ids, _ := silences(t, s); len(ids) != 4 {
		t.Errorf("silences %v", ids)
	}
	if err := k.End(t.Context(), other, time.Now()); err != nil {
		t.Fatal(err)
	}
	if ids, end := silences(t, s); !slices.Equal(ids, first) || time.Until(end) > time.Minute {
		t.Errorf("silences %v until %s, want %v", ids, end, first)
	}
	for range 2 {
		if err := k.End(t.Context(), node, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	becomes(t, g, plan.BlockedByAlert, "4 alerts are active")
	k.Servers = k.Servers[:1]
	if err := k.Set(t.Context(), node, time.Now().Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
}

// Matchers of any kind are found again, with whatever has to be quoted.
func TestSilencesAreFoundAgain(t *testing.T) {
	t.Parallel()
	s := Alertmanager(t, inhibits)
	k, node := keeper(t, s), silence.Node{Name: "a.b"}
	for _, text := range []string{
		`node="{{.Node}}",alertname!="Fire"`, `x=~"a\"b\\\\.c|{{.IP}}",alertname!~"D.*"`, `a="b"`, `zone="ü",node="{{.Node}}",a=~".+"`, `b="1",b!="2"`,
	} {
		k.Matchers = append(k.Matchers, matchers(t, text))
	}
	for range 2 {
		if err := k.Set(t.Context(), node, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if ids, _ := silences(t, s); len(ids) != len(k.Matchers) {
			t.Errorf("%d silences, want %d", len(ids), len(k.Matchers))
		}
	}
	if err := k.End(t.Context(), node, time.Now()); err != nil {
		t.Fatal(err)
	}
	if ids, _ := silences(t, s); len(ids) != 0 {
		t.Errorf("silences %v", ids)
	}
}

// Of a cluster, one member takes a silence and another one ends it.
func TestSilencesOfACluster(t *testing.T) {
	t.Parallel()
	first := Alertmanager(t, inhibits, "--cluster.listen-address=127.0.0.1:0", "--cluster.gossip-interval=50ms")
	peer := peerOf(t, first)
	second := Alertmanager(t, inhibits, "--cluster.listen-address=127.0.0.1:0", "--cluster.gossip-interval=50ms", "--cluster.peer="+peer)
	node := silence.Node{Name: "a"}
	there := func(s *Server, n int) {
		t.Helper()
		var ids []string
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if ids, _ = silences(t, s); len(ids) == n {
				return
			}
		}
		t.Fatalf("silences %v, want %d", ids, n)
	}
	if err := keeper(t, first, second).Set(t.Context(), node, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	there(second, 2)
	first.Stop()
	if err := keeper(t, first, second).Set(t.Context(), node, time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	there(second, 2)
	if err := keeper(t, first, second).End(t.Context(), node, time.Now()); err != nil {
		t.Fatal(err)
	}
	there(second, 0)
}

// peerOf is where others join its cluster.
func peerOf(t *testing.T, s *Server) string {
	t.Helper()
	resp, err := http.Get(s.URL() + "/api/v2/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var status struct {
		Cluster struct {
			Peers []struct {
				Address string `json:"address"`
			} `json:"peers"`
		} `json:"cluster"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil || len(status.Cluster.Peers) != 1 {
		t.Fatalf("%+v, %v", status, err)
	}
	return status.Cluster.Peers[0].Address
}

func matchers(t *testing.T, text string) labels.Matchers {
	t.Helper()
	list, err := parse.Matchers(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
