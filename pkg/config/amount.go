package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Amount is a number of nodes, or a share of them. The zero value is none.
type Amount struct {
	// Number is the number; 0 where it is a share.
	Number int
	// Percent is the share.
	Percent int
}

// Of is how many that is of so many nodes: a share is rounded down, and is at least 1.
func (a Amount) Of(nodes int) int {
	if a.Percent == 0 {
		return a.Number
	}
	return max(1, nodes*a.Percent/100)
}

func (a Amount) String() string {
	if a.Percent == 0 {
		return strconv.Itoa(a.Number)
	}
	return fmt.Sprintf("%d%%", a.Percent)
}

func amount(to *Amount) value {
	return value{placeholder: "number|percentage", set: func(s string) error {
		const most = 1 << 31
		share, isShare := strings.CutSuffix(s, "%")
		n, err := strconv.ParseUint(share, 10, 31)
		if err != nil || n == 0 || n >= most || isShare && n > 100 {
			return errors.New("a whole number from 1, or a percentage from 1% to 100%")
		}
		*to = Amount{Number: int(n)}
		if isShare {
			*to = Amount{Percent: int(n)}
		}
		return nil
	}}
}

func labelKey(to *string) value {
	return checked(to, "key", func(s string) error {
		if s != "" && len(validation.IsQualifiedName(s)) > 0 {
			return errors.New("a label's key, such as example.com/pool")
		}
		return nil
	})
}
