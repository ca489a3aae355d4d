package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// longestAnswer is how much of the answer to a failed request is told, in bytes.
const longestAnswer = 200

// Post is a hook that sends the facts as JSON, and succeeds when the answer's status is 2xx.
func Post(target string, client *http.Client, agent string) func(context.Context, Facts) error {
	return func(ctx context.Context, f Facts) error {
		body, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("making a request to %s: %w", Mask(target), bare(err))
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("User-Agent", agent)
		resp, err := client.Do(req)
		if err != nil {
			return bare(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4*longestAnswer)) // only for the message, and lets the connection be used again
		if resp.StatusCode/100 == 2 {
			return nil
		}
		words := shorten(strings.ToValidUTF8(strings.Join(strings.Fields(string(answer)), " "), "?"), longestAnswer)
		if words != "" {
			words = "; it said: " + words
		}
		return fmt.Errorf("the answer was %s%s", resp.Status, words)
	}
}

// Mask is a URL without what may be secret in it: of the path and the query too, because webhooks have their tokens there.
func Mask(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return "a URL"
	}
	masked := u.Scheme + "://" + u.Host
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		masked += "/…"
	}
	return masked
}

// bare is the error without the URL, which net/http puts into it.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
