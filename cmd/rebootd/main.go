// Command rebootd is the agent that runs on every node and reboots it, safely, when its operating system asks
// for it. See `rebootd --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/agent"
	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/tell"
)

// version is set by the linker.
var version = "dev"

const exitUsage = 2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It returns the exit code: 0 after a signal or --help, 1 when the agent could not
// start, 2 when options are wrong.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "windows" {
		return windows(args[1:], environ, time.Now(), stdout, stderr)
	}
	if len(args) > 0 && args[0] == "cleanup" {
		return clean(ctx, args[1:], environ, stdout, stderr)
	}
	c, err := config.Parse(args, environ, stdout)
	if err != nil {
		return unparsed("rebootd", err, stdout, stderr)
	}
	log := logger(c, stderr)
	if err := serve(ctx, c, log); err != nil {
		log.WithError(err).Error("rebootd could not start.")
		return 1
	}
	return 0
}

// unparsed ends a command whose arguments led to no configuration: help or version was wanted, or they are wrong.
func unparsed(command string, err error, stdout, stderr io.Writer) int {
	switch {
	case errors.Is(err, config.ErrHelp):
		return 0
	case errors.Is(err, config.ErrVersion):
		_, _ = fmt.Fprintf(stdout, "rebootd %s\n", version)
		return 0
	default:
		_, _ = fmt.Fprintf(stderr, "%s: %v\nSee %s --help.\n", command, err, command)
		return exitUsage
	}
}

// serve runs the agent and its port until ctx ends.
func serve(ctx context.Context, c config.Config, log *logrus.Logger) error {
	forget()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a, err := agent.Build(ctx, c, version, reg, log)
	if err != nil {
		return err
	}
	named := log.WithField("node", c.NodeName)
	if err := listen(ctx, c, a, reg, named); err != nil {
		return err
	}
	greet(c, named)
	go shrink(ctx)
	a.Run(ctx)
	named.Info("Stopped. Nothing was given up: the next start goes on from the record on the Node.")
	return nil
}

// listen opens the ports that are configured.
func listen(ctx context.Context, c config.Config, a *agent.Agent, reg prometheus.Gatherer, log logrus.FieldLogger) error {
	metrics := tell.Handler(reg)
	probes := metrics
	if c.HealthPort > 0 {
		probes = http.NewServeMux()
	}
	tell.Probes(probes, a.Healthy, a.Ready)
	for _, port := range []struct {
		flag    string
		number  int
		handler http.Handler
		web     string
	}{
		{"--metrics-port", c.MetricsPort, metrics, c.WebConfigFile},
		{"--health-port", c.HealthPort, probes, ""},
	} {
		if port.number == 0 {
			continue
		}
		address := net.JoinHostPort(c.MetricsHost, strconv.Itoa(port.number))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("--metrics-host and %s: listening on %s: %w", port.flag, address, err)
		}
		go func() {
			if err := tell.Serve(ctx, l, port.handler, port.web, tell.Library(log, time.Now)); err != nil {
				log.WithError(err).Errorf("The port of %s is no longer served.", port.flag)
			}
		}()
	}
	return nil
}

// greet says at start what is set otherwise than by default.
func greet(c config.Config, log logrus.FieldLogger) {
	fields := logrus.Fields{"version": version, "namespace": c.Namespace}
	for _, kv := range c.Effective() {
		if kv.Source != "default" {
			fields["--"+kv.Name] = kv.Value
		}
	}
	log.WithFields(fields).Info("rebootd starts.")
	for _, w := range c.Warnings {
		log.Warn(w)
	}
}

func logger(c config.Config, out io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(out)
	if c.LogFormat == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	} else {
		log.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, DisableColors: true})
	}
	if level, err := logrus.ParseLevel(c.LogLevel); err == nil { // Parse has checked it
		log.SetLevel(level)
	}
	return log
}
