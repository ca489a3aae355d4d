package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// auditPolicy notes every request of the agents and of kubectl: who, what, when and how it ended. A watch is noted when it begins.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, users: ["` + agentUser + `", "` + kubectlUser + `"]}
  - {level: None}
`

const (
	agentUser   = "system:serviceaccount:rebootd:rebootd"
	kubectlUser = "kubectl"
)

// request is one that the API server has noted.
type request struct {
	// node is the agent's, from its token; empty: kubectl's.
	node           string
	verb, resource string
	name           string
	code           int
	// cut is whether its sender didn't wait for the answer.
	cut bool
	// came is when it came, answered when the answer was sent, or for a watch, begun.
	came, answered time.Time
}

func (r request) writes() bool {
	return r.verb == "create" || r.verb == "patch" || r.verb == "update" || r.verb == "delete"
}

// ownWatch is the one request that an agent with nothing to do may send: the watch of its own Node.
func (r request) ownWatch() bool {
	return r.verb == "watch" && r.resource == "nodes" && r.name == r.node
}

// bodyCut is what the log says where a request's body ended too early.
const bodyCut = "body closed by handler"

// auditLog reads what the API server appends.
type auditLog struct {
	path   string
	offset int64
	all    []request
}

type auditEvent struct {
	Stage string
	Verb  string
	User  struct {
		Username string
		Extra    map[string][]string
	}
	ObjectRef struct {
		Resource, Subresource, Name string
	}
	ResponseStatus struct {
		Code    int
		Message string
	}
	RequestReceivedTimestamp, StageTimestamp time.Time
}

// read takes in what has come since the last time, and returns all.
func (a *auditLog) read() ([]request, error) {
	f, err := os.Open(a.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(a.offset, io.SeekStart); err != nil {
		return nil, err
	}
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return a.all, nil // half a line is read the next time
		}
		if err != nil {
			return nil, err
		}
		a.offset += int64(len(line))
		if err := a.take(bytes.TrimSpace(line)); err != nil {
			return nil, err
		}
	}
}

func (a *auditLog) take(line []byte) error {
	var e auditEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("the audit log: %w", err)
	}
	if (e.Verb == "watch") != (e.Stage == "ResponseStarted") && e.Stage != "Panic" {
		return nil // of a watch only its begin counts, or that it was refused; that is noted in the same stage
	}
	r := request{verb: e.Verb, resource: e.ObjectRef.Resource, name: e.ObjectRef.Name, code: e.ResponseStatus.Code, came: e.RequestReceivedTimestamp, answered: e.StageTimestamp,
		cut: e.ResponseStatus.Code >= 500 && (strings.HasSuffix(e.ResponseStatus.Message, context.Canceled.Error()) || strings.HasSuffix(e.ResponseStatus.Message, bodyCut))}
	if e.ObjectRef.Subresource != "" {
		r.resource += "/" + e.ObjectRef.Subresource
	}
	if names := e.User.Extra["authentication.kubernetes.io/node-name"]; e.User.Username == agentUser && len(names) == 1 {
		r.node = names[0]
	}
	if r.resource == "" {
		r.resource = "other"
	}
	a.all = append(a.all, r)
	return nil
}

// since are the requests that came at this time or later.
func since(all []request, t time.Time) []request { return between(all, t, time.Now().Add(time.Hour)) }

// between are the requests that came from one time on and before another.
func between(all []request, from, to time.Time) []request {
	var some []request
	for _, r := range all {
		if !r.came.Before(from) && r.came.Before(to) {
			some = append(some, r)
		}
	}
	return some
}

// kinds counts requests by verb and resource.
func kinds(all []request) map[string]int {
	n := map[string]int{}
	for _, r := range all {
		n[r.verb+" "+r.resource]++
	}
	return n
}

// refused counts what the API server answered with 429 or 5xx. A drain is told by a 429 that a budget refuses.
func refused(all []request) (n int) {
	for _, times := range whatRefused(all) {
		n += times
	}
	return n
}

func whatRefused(all []request) map[string]int {
	n := map[string]int{}
	for _, r := range all {
		if (r.code == 429 || r.code >= 500) && !strings.HasSuffix(r.resource, "/eviction") {
			n[fmt.Sprintf("%s %s: %d", r.verb, r.resource, r.code)]++
		}
	}
	return n
}

// complete is an error if the API server has dropped what it should have noted: then every count is too low.
func (w *world) complete(ctx context.Context) error {
	text, err := w.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(name, "apiserver_audit_error_total") && value != "0" {
			return fmt.Errorf("the audit log isn't complete, so no count is right: %s", strings.TrimSpace(line))
		}
	}
	return nil
}
