package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rebootd/rebootd/pkg/plan"
)

// requestText is the value of a request: why, who and when. The time makes each a new one.
func requestText(reason, user string, now time.Time) string {
	when := now.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	if reason = plan.OneLine(reason); reason == "" {
		return fmt.Sprintf("by %s at %s", user, when)
	}
	return fmt.Sprintf("%s (by %s at %s)", reason, user, when)
}

// holdText is the value of a hold: why and who.
func holdText(reason, user string) string {
	if reason = plan.OneLine(reason); reason == "" {
		return "by " + user
	}
	return fmt.Sprintf("%s (by %s)", reason, user)
}

// parseUntil reads a time (RFC 3339) or a duration from now (2h, 90m, 3d) and gives the time as the agents read it.
func parseUntil(text string, now time.Time) (string, error) {
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := parseDuration(text)
		if err != nil {
			return "", fmt.Errorf("--until: %q is neither a time such as 2026-12-24T18:00:00Z nor a duration such as 2h or 3d", text)
		}
		until = now.Add(d).Truncate(time.Second)
	}
	if !until.After(now) {
		return "", fmt.Errorf("--until: %s is over", text)
	}
	if until.UTC().Year() > 9999 { // RFC 3339 ends there
		return "", fmt.Errorf("--until: %q is too far away", text)
	}
	return until.UTC().Format(time.RFC3339), nil
}

// parseDuration is Go's, with days.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}
