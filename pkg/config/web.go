package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
	"k8s.io/apimachinery/pkg/util/validation"
)

// webConfig takes the path of a web configuration file that can be used as it is now.
func webConfig(to *string) value {
	return checked(to, "path", func(s string) error {
		if s == "" {
			return nil
		}
		if err := web.Validate(s); err != nil {
			return fmt.Errorf("a web configuration file as Prometheus' exporters take it: %w", err)
		}
		return nil
	})
}

// taintKey takes the key of a taint, alone as with kured, or with the one effect that it can have; "" means none.
func taintKey(to *string) value {
	return value{placeholder: "key", set: func(s string) error {
		key := strings.TrimSuffix(s, ":PreferNoSchedule")
		if s != "" && len(validation.IsQualifiedName(key)) > 0 {
			return errors.New("a key such as rebootd.io/reboot-required, without a value or another effect than PreferNoSchedule")
		}
		*to = key
		return nil
	}}
}
