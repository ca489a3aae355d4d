package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/config"
)

// CheckURL says what is wrong with the address of a server. Its error never shows a password.
func CheckURL(address string) error {
	_, err := parseURL(address)
	return err
}

func parseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "" ||
		u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(address, " \t\n") {
		return nil, errors.New("a URL such as http://prometheus.monitoring:9090 or https://example.com/prometheus, without a query")
	}
	return u, nil
}

// MaskURL hides user and password of an address, even of one that is none.
func MaskURL(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	begin := strings.Index(address, "://")
	if begin += len("://"); begin < len("://") || begin > at {
		begin = 0
	}
	return address[:begin] + "***" + address[at:]
}

// CheckConfig says what is wrong with an http_config file.
func CheckConfig(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	_, err = newClient(text, file, "")
	return err
}

// Client is a client by itself, for addresses that aren't a server's base. The files that the http_config file names are read by each
// request, the file itself only now.
func Client(file, agent string) (*http.Client, error) {
	var text []byte
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	return newClient(text, file, agent)
}

// http is the client, made anew when the file has changed. One that can't be used any more is an error, for the old one may be
// what somebody wanted to end.
func (s *Server) http() (*http.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text []byte
	if s.file != "" {
		var err error
		if text, err = os.ReadFile(s.file); err != nil {
			return nil, fmt.Errorf("the HTTP configuration can't be read: %w", err)
		}
	}
	if s.client != nil && bytes.Equal(text, s.text) {
		return s.client, nil
	}
	client, err := newClient(text, s.file, s.agent)
	if err != nil {
		return nil, fmt.Errorf("the HTTP configuration %s is wrong: %w", s.file, err)
	}
	s.client, s.text = client, text
	return client, nil
}

// newClient makes a client. Without a file it is as kured's: proxies are those of the environment.
func newClient(text []byte, file, agent string) (*http.Client, error) {
	c := config.DefaultHTTPClientConfig
	c.ProxyFromEnvironment = true
	if file != "" {
		loaded, err := config.LoadHTTPConfig(string(text))
		if err != nil {
			return nil, discreet(err)
		}
		c = *loaded
		if len(bytes.TrimSpace(text)) == 0 {
			c = config.DefaultHTTPClientConfig
		}
		if err := c.Validate(); err != nil {
			return nil, discreet(err)
		}
		c.SetDirectory(filepath.Dir(file))
	}
	// Connections aren't kept: requests are few, and the server may have moved since, for that is what a drain does.
	client, err := config.NewClientFromConfig(c, "rebootd", config.WithKeepAlivesDisabled(), config.WithUserAgent(agent),
		config.WithDialContextFunc(dial))
	if err != nil {
		return nil, discreet(err)
	}
	if c.FollowRedirects {
		client.CheckRedirect = stayOnHost
	}
	return client, nil
}

// dial bounds the life of every connection. Those to an OAuth2 server know no other bound.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	const life = 30 * time.Second
	d := net.Dialer{Timeout: life}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(life))
}

// discreet is the error without the values and URLs that a decoder quotes: they may be secrets, or hold some.
func discreet(err error) error {
	quoted := regexp.MustCompile("`[^`]*`?|\"[^\"]*(://|@)[^\"]*\"?")
	return errors.New(Shorten(quoted.ReplaceAllString(err.Error(), "a value")))
}
