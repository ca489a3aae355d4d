package tell

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Requests counts the requests that go through a transport to the API server. It does what client-go's metrics do, but not for
// the whole process.
func (m *Metrics) Requests(next http.RoundTripper) http.RoundTripper {
	return counted{next: next, metrics: m}
}

type counted struct {
	next    http.RoundTripper
	metrics *Metrics
}

// RoundTrip is part of http.RoundTripper.
func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	verb, resource := request(r)
	resp, err := c.next.RoundTrip(r)
	code := "error"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	c.metrics.requests.WithLabelValues(verb, resource, code).Inc()
	return resp, err
}

// request is the verb and the resource of a request, in the words of RBAC. No name gets into a label: a resource that the agent
// has no business with is "other".
func request(r *http.Request) (verb, resource string) {
	resource, named := resourceOf(r.URL.Path)
	switch r.Method {
	case http.MethodGet:
		verb = "get"
		if !named {
			verb = "list"
		}
		if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
			verb = "watch"
		}
	case http.MethodPost:
		verb = "create"
	case http.MethodPut:
		verb = "update"
	case http.MethodPatch:
		verb = "patch"
	case http.MethodDelete:
		verb = "delete"
	default:
		verb = "other"
	}
	return verb, resource
}

// resourceOf finds the resource in a path such as /api/v1/nodes/n/status or /apis/group/version/namespaces/ns/leases/name.
func resourceOf(path string) (resource string, named bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return "other", false
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource, named = parts[0], len(parts) > 1
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	known := []string{
		"nodes", "nodes/status", "pods", "pods/eviction", "daemonsets", "leases", "configmaps", "events", "secrets",
		"poddisruptionbudgets", "persistentvolumeclaims", "persistentvolumes", "volumeattachments", "namespaces", "jobs",
	}
	if !slices.Contains(known, resource) {
		return "other", named
	}
	return resource, named
}
