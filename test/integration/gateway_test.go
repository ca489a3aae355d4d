package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// call is one request to the API server, in the words of RBAC.
type call struct {
	verb, group, resource, namespace, name string
}

func (c call) String() string {
	return strings.TrimRight(fmt.Sprintf("%s %s %s", c.verb, strings.TrimPrefix(c.group+"/"+c.resource, "/"), c.name), " ")
}

// writes reports whether it may change something that a decision rests on. Events are only told.
func (c call) writes() bool {
	return !slices.Contains([]string{"get", "list", "watch"}, c.verb) && c.resource != "events"
}

// fate is what becomes of a request.
type fate int

const (
	served fate = iota
	neverArrives
	answerLost
	refused // by the server, which knows no better: 500
)

// send sends the request, whatever becomes of the answer: the proxy panics when it can't pass all of it on.
func (g *gateway) send(r *http.Request) {
	defer func() { _ = recover() }()
	g.proxy.ServeHTTP(httptest.NewRecorder(), r)
}

// gateway stands between one agent and the API server: it counts what passes, and breaks what it is told to.
type gateway struct {
	server *httptest.Server
	proxy  *httputil.ReverseProxy
	file   string

	mu        sync.Mutex
	calls     []call
	conflicts int
	judge     func(call) fate // nil: all are served
	// doom is called before a connection is closed without an answer.
	doom func()
}

// gateway starts one that speaks to the API server as this user; nil is an administrator.
func (f *fleet) gateway(t *testing.T, as *rest.Config) *gateway {
	t.Helper()
	if as == nil {
		as = f.Config()
	}
	transport, err := rest.TransportFor(as)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(as.Host)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{file: t.TempDir() + "/kubeconfig"}
	g.proxy = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusConflict && strings.HasSuffix(resp.Request.URL.Path, "/status") {
				g.mu.Lock()
				g.conflicts++
				g.mu.Unlock()
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	g.server = httptest.NewUnstartedServer(g)
	g.server.Config.ErrorLog = discardLog()
	g.server.Start()
	t.Cleanup(func() {
		g.server.CloseClientConnections()
		g.server.Close()
	})
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: g.server.URL}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "c"
	if err := clientcmd.WriteToFile(*config, g.file); err != nil {
		t.Fatal(err)
	}
	return g
}

// flag leads an agent through the gateway.
func (g *gateway) flag() string { return "--kubeconfig=" + g.file }

// decide sets who judges the requests from now on.
func (g *gateway) decide(judge func(call) fate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.judge = judge
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := parseCall(r)
	g.mu.Lock()
	g.calls = append(g.calls, c)
	judge := g.judge
	g.mu.Unlock()
	end := served
	if judge != nil {
		end = judge(c)
	}
	switch end {
	case neverArrives, answerLost:
		if g.doom != nil {
			defer g.doom() // also when the client is gone already, which makes the proxy panic
		}
		if end == answerLost {
			g.send(r)
		}
		panic(http.ErrAbortHandler) // the connection is closed without a word
	case refused:
		http.Error(w, "the gateway was told to fail", http.StatusInternalServerError)
	default:
		g.proxy.ServeHTTP(w, r)
	}
}

// passed is what has passed so far.
func (g *gateway) passed() []call {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// collided is how many writes of a status the API server refused because somebody else had written.
func (g *gateway) collided() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conflicts
}

// quiet checks that nothing passes for a while.
func (g *gateway) quiet(t *testing.T, d time.Duration) {
	t.Helper()
	if sent := g.during(d); len(sent) > 0 {
		t.Errorf("%d requests in %s, want none: %v", len(sent), d, sent)
	}
}

// waits checks that nothing passes for a while but what a node sends once that has begun to wait: the count of the Nodes.
func (g *gateway) waits(t *testing.T, d time.Duration) {
	t.Helper()
	sent := g.during(d)
	if len(sent) > 1 || len(sent) == 1 && (sent[0].verb != "list" || sent[0].resource != "nodes") {
		t.Errorf("%d requests in %s, want none but one count: %v", len(sent), d, sent)
	}
}

func (g *gateway) during(d time.Duration) []call {
	before := len(g.passed())
	time.Sleep(d)
	return g.passed()[before:]
}

// parseCall reads /api/v1/… and /apis/GROUP/VERSION/… .
func parseCall(r *http.Request) call {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var c call
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		c.group, parts = parts[1], parts[3:]
	default:
		return call{verb: strings.ToLower(r.Method), resource: r.URL.Path}
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		c.namespace, parts = parts[1], parts[2:]
	}
	c.resource = parts[0]
	if len(parts) > 1 {
		c.name = parts[1]
	}
	if len(parts) > 2 {
		c.resource += "/" + parts[2]
	}
	c.verb = map[string]string{"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[r.Method]
	switch {
	case c.verb != "":
	case c.name != "":
		c.verb = "get"
	case r.URL.Query().Get("watch") != "":
		c.verb = "watch"
	default:
		c.verb = "list"
	}
	if name, one := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name="); one {
		c.name = name // as RBAC sees it
	}
	return c
}
