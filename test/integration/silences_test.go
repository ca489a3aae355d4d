package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
	"github.com/rebootd/rebootd/test/monitoring"
)

// alerting is an Alertmanager with which a test speaks.
type alerting struct {
	*monitoring.Server
	t *testing.T
}

func newAlerting(t *testing.T) alerting {
	t.Helper()
	return alerting{monitoring.Alertmanager(t, "route: {receiver: none}\nreceivers: [{name: none}]\n"), t}
}

func (a alerting) alert(labels string) {
	a.t.Helper()
	resp, err := http.Post(a.URL()+"/api/v2/alerts", "application/json", strings.NewReader(`[{"labels":{`+labels+`}}]`))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		a.t.Fatal(resp.Status)
	}
}

// silences are how many there are, and for how long those in force last, the longest.
func (a alerting) silences() (all, active int, left time.Duration) {
	a.t.Helper()
	resp, err := http.Get(a.URL() + "/api/v2/silences")
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	var found []struct {
		EndsAt time.Time
		Status struct{ State string }
	}
	if err := json.Unmarshal(body, &found); err != nil {
		a.t.Fatalf("%s: %v", body, err)
	}
	for _, one := range found {
		if one.Status.State == "active" {
			active++
			left = max(left, time.Until(one.EndsAt))
		}
	}
	return len(found), active, left
}

// are waits until there are so many, and so many of them in force.
func (a alerting) are(all, active int) (left time.Duration) {
	a.t.Helper()
	var gotAll, gotActive int
	until(a.t, fmt.Sprintf("%d of %d silences are in force", active, all), func() bool {
		gotAll, gotActive, left = a.silences()
		return gotAll == all && gotActive == active
	})
	return left
}

// The alerts that a reboot makes don't hold it back, nor another node afterwards; those about others do. Agents that die in between leave
// the silences to the next, which finds them.
func TestAlertsAreSilenced(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "silent")
	a := newAlerting(t)
	_, free := m.stuck()
	start := func() *process {
		return m.agent("--alertmanager-url=http://me:geheim@127.0.0.1:1,"+a.URL(), "--silence-alerts", "--silence-linger=1m", "--cluster-name=west")
	}
	m.require()
	p := m.power(start)
	m.says(plan.BlockedByPDB)
	if left := a.are(2, 2); left < 24*time.Minute || left > 27*time.Minute {
		t.Errorf("silent for %s", left)
	}
	a.alert(fmt.Sprintf(`"alertname":"KubeNodeNotReady","node":%q`, m.name))
	p.restart(start)
	m.says(plan.BlockedByPDB)
	a.are(2, 2)
	a.alert(`"alertname":"KubeNodeNotReady","node":"another"`)
	m.says(plan.BlockedByAlert, "1 alert is active in Alertmanager: KubeNodeNotReady")
	free()
	p.restart(func() *process {
		return m.agent("--alertmanager-url="+a.URL(), `--alert-matcher=node!="another"`, "--silence-alerts", "--silence-linger=1m", "--cluster-name=west")
	})
	m.back(1)
	until(t, "the silences end soon", func() bool {
		all, active, left := a.silences()
		return all == 2 && active == 2 && left <= time.Minute
	})
	if strings.Contains(p.agent().log(), "geheim") {
		t.Error("a password is in the log")
	}
}

// An Alertmanager that isn't there is told of once, and the reboot goes on.
func TestSilenceCannotBeSet(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "loud")
	broken := newAlerting(t)
	_, free := m.stuck()
	m.require()
	p := m.power(func() *process {
		return m.agent("--alertmanager-url="+broken.URL(), "--silence-alerts", "--silence-matcher=node=\"{{.Node}}\"", "--gate-grace=1h", "--silence-linger=0")
	})
	m.says(plan.BlockedByPDB)
	broken.are(1, 1)
	broken.Stop()
	m.says(plan.GateError, "connection refused")
	p.restart(func() *process {
		return m.agent("--alertmanager-url=http://me:geheim@127.0.0.1:1", "--silence-alerts", "--gate-grace=1h")
	})
	p.agent().logs("The silence in Alertmanager (--silence-alerts) can't be set or extended", "GET http://127.0.0.1:1/api/v2/silences: ", "the reboot doesn't wait for it")
	free()
	m.annotate("rebootd.io/request-now", "past what can't be asked")
	m.back(1)
	if strings.Contains(p.agent().log(), "geheim") {
		t.Error("a password is in the log")
	}
}

// At once, if nothing is to linger; and a dry run sets none.
func TestSilencesEndAtOnce(t *testing.T) {
	t.Parallel()
	f := shared(t)
	m := f.machine(t, f.namespace(t), "heard")
	a := newAlerting(t)
	flags := []string{"--alertmanager-url=" + a.URL(), "--silence-alerts", "--silence-matcher=node=\"{{.Node}}\"", "--silence-linger=0"}
	m.require()
	dry := m.agent(append(flags, "--dry-run")...)
	dry.logs("Dry run: Would now take a slot")
	time.Sleep(time.Second)
	dry.kill()
	a.are(0, 0)
	m.power(func() *process { return m.agent(flags...) })
	m.back(1)
	a.are(1, 0)
}
