package tell

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
)

// Handler serves /metrics.
func Handler(reg prometheus.Gatherer) *http.ServeMux {
	mux := http.NewServeMux()
	// Compressed, a scrape would be some kilobytes smaller, and the agent a megabyte larger, of seven.
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true}))
	return mux
}

// Probes adds /healthz and /readyz. The two checks answer nil, or an error that says what is wrong.
func Probes(mux *http.ServeMux, healthy, ready func() error) *http.ServeMux {
	mux.Handle("GET /healthz", check(healthy))
	mux.Handle("GET /readyz", check(ready))
	return mux
}

// Serve serves on the listener until ctx ends. The file, if it isn't "", is a web configuration file of Prometheus' exporters: TLS, and
// who may read.
func Serve(ctx context.Context, l net.Listener, h http.Handler, file string, log logr.Logger) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelInfo)}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // a scrape cut off is no loss
	defer stop()
	err := web.Serve(l, s, &web.FlagConfig{WebConfigFile: &file}, slog.New(logr.ToSlogHandler(log)))
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func check(f func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := f(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n")) // the client may be gone
	})
}
