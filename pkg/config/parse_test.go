package config

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// wantConfig compares all but the list of effective values.
func wantConfig(t *testing.T, got, want Config) {
	t.Helper()
	got.effective = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// wantProblems checks the lines of an error; every line of want is the start of one.
func wantProblems(t *testing.T, err error, want ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want an *Error", err)
	}
	if !slices.EqualFunc(e.Problems, want, strings.HasPrefix) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(e.Problems, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestValueInNextArgument(t *testing.T) {
	got, err := Parse(withBaseline("--drain-grace-period", "-2", "--dry-run", "--period", "2m"), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := baseline()
	want.DrainGracePeriod, want.DryRun, want.Period = -2, true, 2*time.Minute
	wantConfig(t, got, want)

	_, err = Parse(withBaseline("--period", "--dry-run"), nil, io.Discard)
	wantProblems(t, err, "--period: needs a value")
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := Parse(
		[]string{"--metrics-port=x", "--perod", "1m", "stray", "--back-off=3h", "--back-off-max=x", "--concurrency=0"},
		[]string{"KURED_REBOOT_SIGNAL=SIGFOO", "REBOOTD_PERIOD=fast", "KURED_PERIOD=slow", "REBOOTD_DRAIN_DELAY="},
		io.Discard)
	want := `8 options are wrong:
  --node-name: is required
  --period (from REBOOTD_PERIOD): "fast" is not allowed: a duration such as 90s, 5m or 1h30m, at least 1s
  --concurrency: "0" is not allowed: a whole number from 1, or a percentage from 1% to 100%
  --back-off-max: "x" is not allowed: a duration such as 90s, 5m or 1h30m, at least 1s
  --reboot-signal (from KURED_REBOOT_SIGNAL): "SIGFOO" is not allowed: ` +
		`a number from 1 to 64 or a name such as SIGINT or SIGRTMIN+5
  --metrics-port: "x" is not allowed: a whole number from 0 to 65535
  --perod: there is no such flag; did you mean --period?
  "stray": only flags are allowed`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	_, err = Parse(withBaseline("stray"), nil, io.Discard)
	if want := "1 option is wrong:\n  \"stray\": only flags are allowed"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPrecedence(t *testing.T) {
	for _, tt := range []struct {
		args, environ string
		node, source  string
	}{
		{"--node-name=a", "REBOOTD_NODE_NAME=b KURED_NODE_NAME=c", "a", "--node-name"},
		{"--node-name=a --node-name=b", "", "b", "--node-name"},
		{"--node-id=a", "REBOOTD_NODE_NAME=b", "a", "--node-id"},
		{"--node-id=a --node-name=a", "", "a", "--node-name"},
		{"", "KURED_NODE_NAME=c REBOOTD_NODE_NAME=b", "b", "REBOOTD_NODE_NAME"},
		{"", "KURED_NODE_NAME=c REBOOTD_NODE_ID=b", "b", "REBOOTD_NODE_ID"},
		{"", "KURED_NODE_ID=c REBOOTD_NODE_NAME=", "c", "KURED_NODE_ID"},
		{"", "KURED_NODE_ID=c KURED_NODE_NAME=c", "c", "KURED_NODE_NAME"},
		{"", "KURED_NODE_ID=c KURED_NODE_ID=d", "c", "KURED_NODE_ID"},
	} {
		t.Run(tt.args+" "+tt.environ, func(t *testing.T) {
			c, err := Parse(strings.Fields(tt.args), strings.Fields(tt.environ), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if want := (KV{"node-name", tt.node, tt.source}); c.NodeName != tt.node || c.Effective()[0] != want {
				t.Errorf("got node %q from %v, want %v", c.NodeName, c.Effective()[0], want)
			}
		})
	}
	_, err := Parse(nil, []string{"KURED_NODE_ID=c", "KURED_NODE_NAME=d"}, io.Discard)
	wantProblems(t, err, "KURED_NODE_NAME and KURED_NODE_ID: are the same option but have different values")
}

func TestEnvironmentOfKubernetes(t *testing.T) {
	environ := []string{
		"REBOOTD_SERVICE_HOST=10.0.0.1", "REBOOTD_SERVICE_PORT=80", "REBOOTD_SERVICE_PORT_HTTP_METRICS=80",
		"REBOOTD_PORT=tcp://10.0.0.1:80", "REBOOTD_PORT_80_TCP=tcp://10.0.0.1:80", "REBOOTD_PORT_80_TCP_PROTO=tcp",
		"REBOOTD_PORT_80_TCP_PORT=80", "REBOOTD_PORT_80_TCP_ADDR=10.0.0.1", "REBOOTD_WEB_PORT=udp://10.0.0.1:80",
		"REBOOTD_PEROID=1m", "REBOOTD_METRIC_PORT=80", "KURED_FOO=1", "PATH=/bin", "--period=2m", "=", "",
	}
	c, err := Parse(withBaseline(), environ, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := baseline()
	want.Warnings = []string{
		"the environment variable REBOOTD_METRIC_PORT is no option and is ignored; did you mean REBOOTD_METRICS_PORT?",
		"the environment variable REBOOTD_PEROID is no option and is ignored; did you mean REBOOTD_PERIOD?",
	}
	wantConfig(t, c, want)

	environ = append(environ, "KURED_METRICS_PORT=tcp://10.0.0.1:80")
	c, err = Parse(withBaseline(), environ, io.Discard)
	wantProblems(t, err, `--metrics-port (from KURED_METRICS_PORT): "tcp://10.0.0.1:80" comes from a Service of that `+
		"name, not from you; set enableServiceLinks: false in the pod's spec")
	wantConfig(t, c, Config{Warnings: want.Warnings})

	if _, err = Parse(withBaseline("--metrics-port=1"), environ, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestEffective(t *testing.T) {
	c, err := Parse(withBaseline("--period=90s"), []string{"KURED_LOG_FORMAT=json"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []KV{
		{"period", "90s", "--period"}, {"log-format", "json", "KURED_LOG_FORMAT"}, {"gate-grace", "5m", "default"},
	} {
		if !slices.Contains(c.Effective(), want) {
			t.Errorf("%v is missing in %v", want, c.Effective())
		}
	}
	if got, want := len(c.Effective()), len(newParser(options(&c)).options); got != want {
		t.Errorf("got %d options, want %d", got, want)
	}
}

// A secret is in no list and in no error.
func TestSecret(t *testing.T) {
	var got []string
	o := option{name: "url", secret: true, value: value{placeholder: "url", list: true, set: func(s string) error {
		got = append(got, s)
		if s == "bad" {
			return errors.New("a URL")
		}
		return nil
	}}}
	p := newParser([]group{{"Test", []option{o}}})
	if err := p.scan([]string{"--url=good", "--url=bad", "--url=bad"}); err != nil {
		t.Fatal(err)
	}
	p.resolve(o)
	if want := []string{"good", "bad", "bad"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if want := []KV{{"url", "***", "--url"}}; !slices.Equal(p.effective, want) {
		t.Errorf("got %v, want %v", p.effective, want)
	}
	line := "--url: the value is not allowed: a URL"
	wantProblems(t, p.err(), line, line)
}

// A list gets every value of its best source and none of the others', nor its default.
func TestList(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want KV
	}{
		{[]string{"--days=sa", "--days=su"}, KV{"days", "sa,su", "--days"}},
		{nil, KV{"days", "mo", "REBOOTD_DAYS"}},
	} {
		var got []string
		o := option{name: "days", def: "fr", value: value{placeholder: "day", list: true, set: func(s string) error {
			got = append(got, s)
			return nil
		}}}
		p := newParser([]group{{"Test", []option{o}}})
		if err := p.scan(tt.args); err != nil {
			t.Fatal(err)
		}
		p.environment([]string{"REBOOTD_DAYS=mo"})
		p.resolve(o)
		if strings.Join(got, ",") != tt.want.Value || p.effective[0] != tt.want {
			t.Errorf("got %v, %v, want %v", got, p.effective, tt.want)
		}
	}
}

func TestSentinelOptions(t *testing.T) {
	c, err := Parse(withBaseline("--reboot-sentinel=/a", "--reboot-sentinel=/b,/c", "--reboot-sentinel-command=x", "--sentinel-command-yes=102",
		"--sentinel-command-yes=103"), []string{"KURED_SENTINEL_COMMAND_NO=0,1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := baseline()
	want.RebootSentinels, want.SentinelCommand = []string{"/a", "/b", "/c"}, "x"
	want.SentinelYes, want.SentinelNo = []int{102, 103}, []int{0, 1}
	wantConfig(t, c, want)
	if kv := (KV{"reboot-sentinel", "/a,/b,/c", "--reboot-sentinel"}); !slices.Contains(c.Effective(), kv) {
		t.Errorf("%v is missing in %v", kv, c.Effective())
	}
}

// kured's variables beat its flags, and here they don't: whoever has both must hear of it.
func TestKuredsVariableIsOverruled(t *testing.T) {
	for _, tt := range []struct{ args, environ, want string }{
		{"--concurrency=1", "KURED_CONCURRENCY=2", "KURED_CONCURRENCY has another value than --concurrency and is ignored; kured would take the variable. Leave one of them out."},
		{"", "REBOOTD_PERIOD=1m KURED_PERIOD=2m", "KURED_PERIOD has another value than REBOOTD_PERIOD and is ignored; kured would take the variable. Leave one of them out."},
		{"--notify-url=generic://secret-one", "KURED_NOTIFY_URL=generic://secret-two", "KURED_NOTIFY_URL has another value than --notify-url and is ignored; kured would take the variable. Leave one of them out."},
		{"--concurrency=2", "KURED_CONCURRENCY=2", ""},
		{"--reboot-days=mo --reboot-days=tu", "KURED_REBOOT_DAYS=mo,tu", ""},
		{"--metrics-port=8080", "KURED_METRICS_PORT=tcp://10.0.0.1:80", ""},
		{"", "KURED_CONCURRENCY=2", ""},
		{"--concurrency=1", "KURED_CONCURRENCY=", ""},
	} {
		c, err := Parse(withBaseline(strings.Fields(tt.args)...), strings.Fields(tt.environ), io.Discard)
		if got := strings.Join(c.Warnings, "\n"); err != nil || got != tt.want {
			t.Errorf("%s, %s: %q, %v", tt.args, tt.environ, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("--node-name=n1\n--period\n1m", "KURED_REBOOT_SIGNAL=SIGRTMIN+5")
	f.Add("--node-id=n1\n-\n--\n--=\n=\n", "REBOOTD_=\n=\nREBOOTD_PORT=tcp://")
	f.Add("--node-name=n1\n--drain-delay=-1ns\n--skip-wait-for-delete-timeout=-1", "REBOOTD_METRICS_PORT=-1")
	f.Fuzz(func(t *testing.T, args, environ string) {
		c, err := Parse(strings.Split(args, "\n"), strings.Split(environ, "\n"), io.Discard)
		var e *Error
		switch {
		case errors.As(err, &e):
			if len(e.Problems) == 0 || slices.Contains(e.Problems, "") {
				t.Errorf("nothing said: %q", e.Problems)
			}
			return
		case err != nil:
			return
		}
		c.DrainGracePeriod = 0 // the one that may be negative
		for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
			if v := reflect.ValueOf(c).FieldByIndex(field.Index); v.CanInt() && v.Int() < 0 {
				t.Errorf("%s is %d", field.Name, v.Int())
			}
		}
		if c.NodeName == "" || c.Concurrency.Of(1) < 1 || c.Period < time.Second || c.RebootSignal < 1 {
			t.Errorf("accepted %+v", c)
		}
	})
}

func TestOptionsThatDontFit(t *testing.T) {
	_, err := Parse([]string{"--node-name=n1", "--drain-timeout=0", "--on-drain-timeout=delete"}, nil, io.Discard)
	wantProblems(t, err, "--on-drain-timeout: delete needs a --drain-timeout above 0")
	_, err = Parse([]string{"--node-name=n1", "--metrics-port=0", "--web-config-file=testdata/web.yaml"}, nil, io.Discard)
	wantProblems(t, err, "--web-config-file: is for --metrics-port, which is 0")
}
