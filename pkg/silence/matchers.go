package silence

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"
)

// Node is what matchers may name.
type Node struct {
	Name string
	// IPs are its internal addresses, the first one first. May be empty.
	IPs []string
}

// Default is what silences the alerts that kube-prometheus has about one node: by its name, and those of whatever is scraped on it.
func Default() []labels.Matchers {
	return []labels.Matchers{
		{{Type: labels.MatchEqual, Name: "node", Value: "{{.Node}}"}},
		{{Type: labels.MatchRegexp, Name: "instance", Value: "({{.Node}}|{{.IP}})(:[0-9]+)?"}},
	}
}

// Check says what is wrong with the matchers of one silence.
func Check(list labels.Matchers) error {
	sample, err := expand(list, Node{Name: "a.example.com", IPs: []string{"192.0.2.1"}})
	if err != nil {
		return err
	}
	for _, m := range sample {
		if !m.Matches("") {
			return nil
		}
	}
	return errors.New("at least one matcher that doesn't match an absent label, or every alert would be silent")
}

// expand puts the node into matchers.
func expand(list labels.Matchers, n Node) (labels.Matchers, error) {
	placeholder := regexp.MustCompile(`\{\{\s*\.(Node|IP)\s*\}\}`)
	all := make(labels.Matchers, len(list))
	for i, m := range list {
		isPattern := m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp
		if rest := placeholder.ReplaceAllString(m.Value, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
			return nil, fmt.Errorf("placeholders are {{.Node}} and {{.IP}}, which %q is not", m.Value)
		}
		value := placeholder.ReplaceAllStringFunc(m.Value, func(s string) string {
			switch byIP := strings.Contains(s, "IP") && len(n.IPs) > 0; {
			case byIP && isPattern:
				return patternOf(n.IPs)
			case byIP:
				return n.IPs[0]
			case isPattern:
				return regexp.QuoteMeta(n.Name)
			default:
				return n.Name
			}
		})
		var err error
		if all[i], err = labels.NewMatcher(m.Type, m.Name, value); err != nil {
			return nil, fmt.Errorf("with the node's name in it, %q is no regular expression: %w", m.Value, err)
		}
	}
	slices.SortFunc(all, func(a, b *labels.Matcher) int { return strings.Compare(a.String(), b.String()) })
	return all, nil
}

// patternOf matches any of the addresses. In a target's address those of IPv6 stand in brackets.
func patternOf(ips []string) string {
	patterns := make([]string, len(ips))
	for i, ip := range ips {
		patterns[i] = regexp.QuoteMeta(ip)
		if a, err := netip.ParseAddr(ip); err == nil && a.Is6() {
			patterns[i] = `\[?` + patterns[i] + `\]?`
		}
	}
	return "(?:" + strings.Join(patterns, "|") + ")"
}

// same compares expanded matchers; those of a server may come in any order.
func same(a, b labels.Matchers) bool {
	words := func(list labels.Matchers) []string {
		all := make([]string, len(list))
		for i, m := range list {
			all[i] = m.String()
		}
		slices.Sort(all)
		return all
	}
	return slices.Equal(words(a), words(b))
}
