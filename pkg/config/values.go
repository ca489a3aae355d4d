package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// value checks what was given and stores it. set is called once for each time that the option is
// given, so a list appends and anything else overwrites; its error says what is allowed.
type value struct {
	placeholder string              // "" for a flag that needs no value
	list        bool                // every value given counts, not only the last
	mask        func(string) string // hides what is secret in a value that is shown; nil: nothing is
	set         func(string) error
	// emptyIsUnset: an empty value is as none.
	emptyIsUnset bool
}

// readable takes the path of a file that can be read now.
func readable(to *string) value {
	return checked(to, "path", func(s string) error {
		file, err := os.Open(s)
		if err != nil {
			return fmt.Errorf("a file that can be read: %w", err)
		}
		return file.Close()
	})
}

// address takes an IP address or a host name.
func address(to *string) value {
	return checked(to, "address", func(s string) error {
		if net.ParseIP(s) == nil && len(validation.IsDNS1123Subdomain(s)) > 0 {
			return errors.New("an IP address or a host name, without a port")
		}
		return nil
	})
}

// checked takes a text that passes check.
func checked(to *string, placeholder string, check func(string) error) value {
	return value{placeholder: placeholder, set: func(s string) error {
		if err := check(s); err != nil {
			return err
		}
		*to = s
		return nil
	}}
}

func choice(to *string, allowed ...string) value {
	return checked(to, strings.Join(allowed, "|"), func(s string) error {
		if !slices.Contains(allowed, s) {
			return errors.New(strings.Join(allowed, " or "))
		}
		return nil
	})
}

func boolean(to *bool) value {
	return value{placeholder: "", set: func(s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("true or false")
		}
		*to = b
		return nil
	}}
}

func duration(to *time.Duration, least time.Duration) value {
	return value{placeholder: "duration", set: func(s string) error {
		d, err := time.ParseDuration(s)
		switch {
		case err == nil && d >= least:
		case least == 0:
			return errors.New("0 or a duration such as 90s, 5m or 1h30m")
		default:
			return fmt.Errorf("a duration such as 90s, 5m or 1h30m, at least %v", least)
		}
		*to = d
		return nil
	}}
}

// number takes a whole number from least, without an upper limit worth mentioning.
func number(to *int, placeholder string, least int) value {
	return between(to, placeholder, least, math.MaxInt32)
}

func between(to *int, placeholder string, least, most int) value {
	return value{placeholder: placeholder, set: func(s string) error {
		n, err := strconv.Atoi(s)
		switch {
		case err == nil && n >= least && n <= most:
			*to = n
			return nil
		case least == math.MinInt32:
			return errors.New("a whole number")
		case most == math.MaxInt32:
			return fmt.Errorf("a whole number from %d", least)
		default:
			return fmt.Errorf("a whole number from %d to %d", least, most)
		}
	}}
}

// signal takes a number or a name; real-time signals count from glibc's SIGRTMIN, as systemd's do.
func signal(to *int) value {
	const realTime, last = 34, 64
	return value{placeholder: "signal", set: func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil {
			name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
			n = signalNumber(name)
			if offset, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
				n = offsetFrom(realTime, offset, '+')
			} else if offset, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
				n = offsetFrom(last, offset, '-')
			}
		}
		if n < 1 || n > last {
			return errors.New("a number from 1 to 64 or a name such as SIGINT or SIGRTMIN+5")
		}
		*to = n
		return nil
	}}
}

// offsetFrom adds an offset such as "+5" or "-2", which must have this sign, to base; 0 if it
// can't or if it would leave the real-time signals.
func offsetFrom(base int, offset string, sign byte) int {
	if offset == "" {
		return base
	}
	n, err := strconv.Atoi(offset)
	if err != nil || offset[0] != sign || n < -30 || n > 30 {
		return 0
	}
	return base + n
}

func absolutePath(to *string) value {
	return checked(to, "path", func(s string) error {
		if !filepath.IsAbs(s) {
			return errors.New("an absolute path")
		}
		return nil
	})
}

// command takes a command line in shell quoting; "" means none.
func command(to *string) value {
	return checked(to, "command", func(s string) error {
		words, err := shellquote.Split(s)
		if err != nil || (s != "" && (len(words) == 0 || words[0] == "")) {
			return errors.New("a command and its arguments, quoted as for a shell")
		}
		return nil
	})
}

func labelSelector(to *string) value {
	return checked(to, "selector", func(s string) error {
		if _, err := labels.Parse(s); err != nil {
			return fmt.Errorf("a label selector such as app=web,tier!=db (%w)", err)
		}
		return nil
	})
}

// dnsLabel takes a DNS label with a limit on its length, in characters.
func dnsLabel(to *string, limit int) value {
	return checked(to, "name", func(s string) error {
		if len(s) > limit || len(validation.IsDNS1123Label(s)) > 0 {
			return fmt.Errorf("1 to %d lower-case letters, digits and inner dashes", limit)
		}
		return nil
	})
}

func dnsSubdomain(to *string) value {
	return checked(to, "name", func(s string) error {
		if len(validation.IsDNS1123Subdomain(s)) > 0 {
			return errors.New("lower-case letters, digits, inner dashes and dots, as Kubernetes names nodes")
		}
		return nil
	})
}
