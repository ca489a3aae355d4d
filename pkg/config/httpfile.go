package config

import (
	"fmt"

	promconfig "github.com/prometheus/common/config"
)

// httpConfig takes the path of a file in the format of Prometheus' http_config, and reads it. The files that it names are read
// later, by each request.
func httpConfig(to **promconfig.HTTPClientConfig) value {
	return value{placeholder: "path", set: func(s string) error {
		c, _, err := promconfig.LoadHTTPConfigFile(s)
		if err != nil {
			return fmt.Errorf("a file in the format of Prometheus' http_config: %w", err)
		}
		*to = c
		return nil
	}}
}
