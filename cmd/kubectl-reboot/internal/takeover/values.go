package takeover

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/kured"
)

// Values are those of rebootd's chart that make it do what a kured does.
type Values struct {
	// All are the values, as a values file has them.
	All map[string]any
	// Steps are what a person has to see to, so that they mean the same.
	Steps []Step
	// Used are the flags that this kured is given.
	Used []string
	// Secret are the keys below configuration that nobody should see.
	Secret []string
}

// builder makes values of one DaemonSet.
type builder struct {
	*Values

	d *appsv1.DaemonSet
	c corev1.Container
	// to is the namespace of rebootd.
	to string

	configuration, fromSecret map[string]any
	env                       []corev1.EnvVar
	// spent are variables that stand for an option already.
	spent []string
	// flags are what rebootd will be given, as far as it stands in the DaemonSet.
	flags []string
}

const (
	defaultNamespace = "kube-system"
	defaultName      = "kured"
	defaultSentinel  = "/var/run/reboot-required"
)

// NewValues makes them for a rebootd in the namespace to.
func NewValues(d *appsv1.DaemonSet, to string) *Values {
	b := builder{Values: &Values{All: map[string]any{}}, d: d, to: to, configuration: map[string]any{}, fromSecret: map[string]any{}}
	switch c := kured.Container(d); {
	case c != nil:
		b.c = *c
	case len(d.Spec.Template.Spec.Containers) == 1:
		b.c = d.Spec.Template.Spec.Containers[0]
	default:
		b.step("", "Which container of DaemonSet %s runs kured can't be told, so its options aren't in the values.", place(d))
	}
	settings, unknown := kured.Settings(b.c)
	for _, what := range unknown {
		b.step("", "%q is no option of kured 1.23, so it isn't in the values.", what)
	}
	sentinel := defaultSentinel
	for _, s := range settings {
		b.Used = append(b.Used, s.Flag)
		if s.Doubt != "" {
			b.step("", "%s", s.Doubt)
		}
		switch s.Flag {
		case "node-id", "ds-name", "ds-namespace":
		case "reboot-sentinel":
			if v := s.Value(); v != "" {
				sentinel = v
			}
		default:
			b.setting(s)
		}
	}
	if host := b.onHost(sentinel); host != defaultSentinel {
		b.set("reboot-sentinel", []string{host})
	}
	if d.Namespace != defaultNamespace {
		b.set("ds-namespace", []string{d.Namespace})
	}
	if d.Name != defaultName {
		b.set("ds-name", []string{d.Name})
	}
	b.variables()
	b.pod()
	put(b.All, "configuration", b.configuration)
	put(b.All, "configurationFromSecret", b.fromSecret)
	put(b.All, "extraEnv", b.env)
	b.check()
	return b.Values
}

// put sets what isn't empty.
func put[T map[string]any | map[string]string | []corev1.EnvVar | []corev1.EnvFromSource | []corev1.Toleration | []corev1.Volume | []corev1.VolumeMount](
	to map[string]any, key string, value T) {
	if len(value) > 0 {
		to[key] = value
	}
}

func (b *builder) step(command, format string, args ...any) {
	s := Step{Text: fmt.Sprintf(format, args...), Command: command}
	if !slices.Contains(b.Steps, s) {
		b.Steps = append(b.Steps, s)
	}
}

// camel is a flag's key below configuration.
func camel(flag string) string {
	words := strings.Split(flag, "-")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

func variable(flag string) string {
	return "REBOOTD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// secret are the flags that the chart keeps in a Secret.
func secret() []string { return []string{"notify-url", "slack-hook-url"} }

// setting takes over one of kured's options, wherever its value comes from.
func (b *builder) setting(s kured.Setting) {
	from, name := s.From, s.Variable
	if len(s.Open) == 1 && len(s.Values) == 1 && s.Value() == "$("+s.Open[0]+")" {
		name = s.Open[0]
		from = b.variable(name).ValueFrom
	}
	switch {
	case from != nil && from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		b.fromSecret[camel(s.Flag)] = map[string]any{"name": ref.Name, "key": ref.Key}
		b.spent = append(b.spent, name)
		b.copySecret(ref.Name)
	case from != nil:
		b.env = append(b.env, corev1.EnvVar{Name: variable(s.Flag), ValueFrom: from})
		b.spent = append(b.spent, name)
		b.elsewhere(from)
	case len(s.Open) > 0 && slices.Contains(secret(), s.Flag):
		// A Secret's text isn't looked through for variables, a variable's is: after those that it names.
		for _, open := range s.Open {
			b.take(open)
		}
		b.env = append(b.env, corev1.EnvVar{Name: variable(s.Flag), Value: s.Value()})
	default:
		for _, open := range s.Open {
			b.take(open)
		}
		b.set(s.Flag, s.Values)
	}
}

func (b *builder) variable(name string) corev1.EnvVar {
	if i := slices.IndexFunc(b.c.Env, func(e corev1.EnvVar) bool { return e.Name == name }); i >= 0 {
		return b.c.Env[i]
	}
	return corev1.EnvVar{}
}

// take takes over a variable of the container.
func (b *builder) take(name string) {
	if slices.Contains(b.spent, name) {
		return
	}
	b.spent = append(b.spent, name)
	e := b.variable(name)
	for _, other := range b.c.Env { // those that it refers to stand before it
		if other.Name != name && strings.Contains(e.Value, "$("+other.Name+")") {
			b.take(other.Name)
		}
	}
	b.env = append(b.env, e)
	b.elsewhere(e.ValueFrom)
}

// set is an option whose value stands there. For the chart an empty one is none, as for kured's.
func (b *builder) set(flag string, values []string) {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if slices.Contains(secret(), flag) {
		for i, v := range values {
			values[i] = strings.Trim(v, `"'`)
		}
		b.Secret = append(b.Secret, camel(flag))
	}
	if len(values) == 0 {
		return
	}
	for _, v := range values {
		b.flags = append(b.flags, "--"+flag+"="+v)
	}
	var value any = values
	if len(values) == 1 {
		value = values[0]
		if on, err := strconv.ParseBool(values[0]); err == nil && slices.Contains(switches(), flag) {
			value = on
		}
	}
	b.configuration[camel(flag)] = value
}

func switches() []string {
	return []string{"alert-filter-match-only", "alert-firing-only", "annotate-nodes", "force-reboot"}
}

// onHost is the path on the host of a file that kured sees under this path: its pods have the host's directory mounted somewhere. Older
// releases looked in the host's mount namespace, without a mount.
func (b *builder) onHost(file string) string {
	var best corev1.VolumeMount
	for _, m := range b.c.VolumeMounts {
		at := path.Clean(m.MountPath)
		if (file == at || strings.HasPrefix(file, strings.TrimSuffix(at, "/")+"/")) && len(at) > len(best.MountPath) {
			best = m
		}
	}
	if best.Name == "" {
		return file
	}
	for _, v := range b.d.Spec.Template.Spec.Volumes {
		if v.Name != best.Name {
			continue
		}
		if v.HostPath == nil {
			b.step("", "kured's sentinel file %s is in volume %s, which isn't the host's; rebootd looks for %s on the host.", file, v.Name, file)
			return file
		}
		return path.Join(v.HostPath.Path, best.SubPath, strings.TrimPrefix(file, path.Clean(best.MountPath)))
	}
	return file
}

// variables takes over what else is in the environment: proxies, time zones and what arguments refer to.
func (b *builder) variables() {
	for _, e := range b.c.Env {
		if !strings.HasPrefix(e.Name, "KURED_") {
			b.take(e.Name)
		}
	}
	put(b.All, "extraEnvFrom", b.c.EnvFrom)
	for _, from := range b.c.EnvFrom {
		if from.SecretRef != nil {
			b.copySecret(from.SecretRef.Name)
		}
		if from.ConfigMapRef != nil {
			b.copyConfigMap(from.ConfigMapRef.Name)
		}
	}
	if len(b.c.EnvFrom) > 0 {
		b.step("", "What envFrom gives can't be seen here. If there are options among it (KURED_...), rebootd takes them, but the chart doesn't know of them: "+
			"where one is a command, set privileges to command; a port, set configuration.metricsPort.")
	}
}

func (b *builder) elsewhere(from *corev1.EnvVarSource) {
	switch {
	case from == nil:
	case from.SecretKeyRef != nil:
		b.copySecret(from.SecretKeyRef.Name)
	case from.ConfigMapKeyRef != nil:
		b.copyConfigMap(from.ConfigMapKeyRef.Name)
	}
}

func (b *builder) copySecret(name string) {
	if b.d.Namespace == b.to {
		return
	}
	b.step(fmt.Sprintf(`kubectl get secret -n %s %s -o go-template='apiVersion: v1{{"\n"}}kind: Secret{{"\n"}}metadata: {name: %s}{{"\n"}}data:{{"\n"}}`+
		`{{range $k, $v := .data}}  {{$k}}: {{$v}}{{"\n"}}{{end}}' | kubectl apply -n %s -f -`, b.d.Namespace, name, name, b.to),
		"Secret %s must be in rebootd's namespace (%s), too.", name, b.to)
}

func (b *builder) copyConfigMap(name string) {
	if b.d.Namespace == b.to {
		return
	}
	b.step(fmt.Sprintf(`kubectl get configmap -n %s %s -o yaml | grep -Ev '^  (namespace|resourceVersion|uid|creationTimestamp):' | kubectl apply -n %s -f -`,
		b.d.Namespace, name, b.to), "ConfigMap %s must be in rebootd's namespace (%s), too.", name, b.to)
}

// check has rebootd's own table look at the options, and says what it would refuse or warn of.
func (b *builder) check() {
	// What comes from elsewhere isn't known, but that it is there may matter to the others.
	flags := slices.Concat([]string{"--node-name=any"}, b.flags)
	if _, ok := b.fromSecret["slackHookUrl"]; ok {
		flags = append(flags, "--slack-hook-url=https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX")
	}
	c, err := config.Parse(slices.DeleteFunc(flags, func(f string) bool { return strings.Contains(f, "$(") }), nil, io.Discard)
	if problems := (&config.Error{}); err != nil {
		if errors.As(err, &problems) {
			for _, p := range problems.Problems {
				b.step("", "rebootd refuses to start with this, so it must be changed in the values: %s", strings.TrimSuffix(p, ".")+".")
			}
			return
		}
		b.step("", "rebootd refuses to start with these options: %v", err)
		return
	}
	for _, w := range c.Warnings {
		b.step("", "rebootd warns: %s", w)
	}
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
