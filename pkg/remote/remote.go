// Package remote asks servers over HTTP, as Prometheus does: with its http_config file, whose changes count at once. What comes
// back is bounded in time and size, and no secret gets into an error.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

const (
	// Limit is how large an answer may be.
	Limit = 8 << 20
	// hops is how many redirects are followed, all on the same host.
	hops = 5
)

// Server is one server that is asked. It may be used by several goroutines.
type Server struct {
	base  *url.URL // without user and password
	login *url.Userinfo
	file  string
	agent string

	mu     sync.Mutex
	client *http.Client
	text   []byte // the file's content that the client was made from
}

// New returns the server of an address that CheckURL accepts. The file is one that CheckConfig accepts, or "" for none. The agent
// is what this program calls itself.
func New(address, file, agent string) (*Server, error) {
	base, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	s := &Server{base: base, login: base.User, file: file, agent: agent}
	base.User = nil
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = strings.TrimRight(base.RawPath, "/")
	_, err = s.http()
	return s, err
}

// String is the address without user and password.
func (s *Server) String() string { return s.base.String() }

// Get asks for what is at the path below the server's address.
func (s *Server) Get(ctx context.Context, path string, query url.Values) (status int, body []byte, err error) {
	return s.Do(ctx, http.MethodGet, path, query, nil)
}

// Do sends a request; content, if not nil, is JSON.
func (s *Server) Do(ctx context.Context, method, path string, query url.Values, content []byte) (status int, body []byte, err error) {
	client, err := s.http()
	if err != nil {
		return 0, nil, err
	}
	to := s.base.JoinPath(path)
	to.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(content))
	if err != nil {
		return 0, nil, s.failed(method, path, err)
	}
	req.Header.Set("Accept", "application/json")
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.login != nil {
		password, _ := s.login.Password()
		req.SetBasicAuth(s.login.Username(), password)
	}
	if status, body, err = exchange(client, req); err != nil {
		return 0, nil, s.failed(method, path, err)
	}
	return status, body, nil
}

// exchange returns when the request's context ends, whatever the client is doing: one that has to get a token first
// doesn't look at it.
func exchange(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	type answer struct {
		status int
		body   []byte
		err    error
	}
	came := make(chan answer, 1)
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			came <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, Limit+1))
		if err == nil && len(body) > Limit {
			err = fmt.Errorf("the answer is larger than %d MiB", Limit>>20)
		}
		came <- answer{resp.StatusCode, body, err}
	}()
	select {
	case a := <-came:
		return a.status, a.body, a.err
	case <-req.Context().Done():
		return 0, nil, req.Context().Err()
	}
}

// failed says what was asked, without the query, which the caller knows, and without anything secret.
func (s *Server) failed(method, path string, err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return fmt.Errorf("%s %s: %s", method, s.base.JoinPath(path), Shorten(err.Error()))
}

// stayOnHost follows a redirect only to the host that was asked, and never away from TLS: the credentials are for no other.
func stayOnHost(req *http.Request, via []*http.Request) error {
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case req.URL.Hostname() != first.Hostname():
		return fmt.Errorf("it redirects to another host, %s; is that a login page?", MaskURL(req.URL.Scheme+"://"+req.URL.Host))
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("it redirects from https to http")
	case len(via) > hops:
		return fmt.Errorf("it redirects more than %d times", hops)
	}
	return nil
}

// Shorten makes one line of bounded length of what a server or a library said.
func Shorten(text string) string {
	const limit = 300
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " ")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
