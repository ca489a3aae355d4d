package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	// ErrHelp says that help was asked for and has been written: exit with 0.
	ErrHelp = errors.New("help was asked for")
	// ErrVersion says that the version was asked for: print it and exit with 0.
	ErrVersion = errors.New("the version was asked for")
)

// Error is everything that is wrong with the options, one line each, in the order of the help.
type Error struct{ Problems []string }

func (e *Error) Error() string {
	head := fmt.Sprintf("%d options are wrong:", len(e.Problems))
	if len(e.Problems) == 1 {
		head = "1 option is wrong:"
	}
	return head + "\n  " + strings.Join(e.Problems, "\n  ")
}

// Parse reads the options from args (without the program's name), then environ (in the form of
// os.Environ), then the defaults. Help goes to out. The error is ErrHelp, ErrVersion, an *Error or
// one from out.
func Parse(args, environ []string, out io.Writer) (Config, error) {
	var c Config
	p := newParser(options(&c))
	err := p.parse(args, environ, out, agentHelp, func() []rule { return rules(&c) })
	if err != nil {
		return Config{Warnings: p.warnings}, err
	}
	c.Warnings, c.effective = p.warnings, p.effective
	c.notify.join(&c)
	c.notify = notices{}
	joinKured(&c)
	return c, nil
}

// parser gathers what was given. It doesn't use pflag because that stops at the first error.
type parser struct {
	groups    []group
	options   []option
	known     map[string]option   // by flag or variable, under each of their spellings
	given     map[string][]string // by flag or variable, as the user spelled it
	problems  []problem
	warnings  []string
	effective []KV
}

// problem is one line of an Error; option is "" for one that belongs to no option.
type problem struct{ option, text string }

func newParser(groups []group) *parser {
	p := &parser{groups: groups, known: map[string]option{}, given: map[string][]string{}}
	for _, g := range groups {
		for _, o := range g.options {
			p.options = append(p.options, o)
			for _, name := range o.names() {
				for _, spelling := range spellings(name) {
					p.known[spelling] = o
				}
			}
		}
	}
	return p
}

// parse sets all options. The rules are looked at when that is done.
func (p *parser) parse(args, environ []string, out io.Writer, intro string, rules func() []rule) error {
	switch err := p.scan(args); {
	case errors.Is(err, ErrHelp):
		if _, err := io.WriteString(out, help(intro, p.groups)); err != nil {
			return fmt.Errorf("writing the help: %w", err)
		}
		return ErrHelp
	case err != nil:
		return err
	}
	p.environment(environ)
	for _, o := range p.options {
		p.resolve(o)
	}
	p.apply(rules())
	return p.err()
}

func (p *parser) complain(option, format string, args ...any) {
	p.problems = append(p.problems, problem{option, fmt.Sprintf(format, args...)})
}

// scan sorts args into given and problems.
func (p *parser) scan(args []string) error {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch arg {
		case "--help", "-h":
			return ErrHelp
		case "--version":
			return ErrVersion
		}
		if !strings.HasPrefix(arg, "-") {
			p.complain("", "%q: only flags are allowed", maskStray(arg))
			continue
		}
		flag, val, hasValue := strings.Cut(arg, "=")
		o, known := p.known[flag]
		takesNext := !hasValue && len(args) > 0
		switch {
		case strings.ContainsAny(flag, " \t\n"): // what is behind the blank may be a secret
			p.complain("", "%[1]s …: a flag and its value are two arguments, or one with = between them, as in %[1]s=value", strings.Fields(flag)[0])
			continue
		case !known:
			p.complain("", "%s: there is no such flag%s", flag, p.suggest(flag))
			if takesNext && !strings.HasPrefix(args[0], "-") { // presumably its value
				args = args[1:]
			}
			continue
		case hasValue:
		case o.isBool():
			val = "true"
		case takesNext && !strings.HasPrefix(args[0], "--"):
			val = args[0]
			args = args[1:]
		default:
			p.complain(o.name, "%s: needs a value, as in %s=%s", flag, flag, o.value.placeholder)
			continue
		}
		p.given[flag] = append(p.given[flag], val)
	}
	return nil
}

// maskStray shows of a URL no more than its scheme: it may be a second value after a flag that takes one, and hold a secret.
func maskStray(arg string) string {
	if scheme, _, ok := strings.Cut(arg, "://"); ok {
		return scheme + "://***"
	}
	return arg
}

// environment sorts environ into given and warnings.
func (p *parser) environment(environ []string) {
	unknown := map[string]bool{}
	for _, entry := range environ {
		name, val, _ := strings.Cut(entry, "=")
		_, known := p.known[name]
		switch {
		case val == "" || strings.HasPrefix(name, "-") || len(p.given[name]) > 0:
		case known:
			p.given[name] = []string{val}
		case strings.HasPrefix(name, "REBOOTD_") && !isServiceLink(name, val):
			unknown[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		p.warnings = append(p.warnings,
			fmt.Sprintf("the environment variable %s is no option and is ignored%s", name, p.suggest(name)))
	}
}

// resolve sets one option from the best source that has it.
func (p *parser) resolve(o option) {
	source, values := p.lookup(o)
	if o.value.emptyIsUnset {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if len(values) == 0 {
			source = ""
		}
	}
	switch {
	case source != "":
	case o.required:
		if !p.isWrong(o.name) {
			p.complain(o.name, "--%s: is required", o.name)
		}
		return
	default:
		source = "default"
		if o.def != "" {
			values = []string{o.def}
		}
	}
	shown := ""
	for _, v := range values {
		p.set(o, source, v)
		v = o.masked(v)
		if o.value.list && shown != "" {
			v = shown + "," + v
		}
		shown = v
	}
	if o.secret && shown != "" {
		shown = "***"
	}
	p.effective = append(p.effective, KV{Name: o.name, Value: shown, Source: source})
}

// set stores one value or says what is wrong with it.
func (p *parser) set(o option, source, val string) {
	where := source
	if !strings.HasPrefix(source, "--") {
		where = fmt.Sprintf("--%s (from %s)", o.name, source)
		if isServiceURL(source, val) {
			p.complain(o.name, "%s: %q comes from a Service of that name, not from you; "+
				"set enableServiceLinks: false in the pod's spec", where, val)
			return
		}
	}
	if err := o.value.set(val); err != nil {
		shown := fmt.Sprintf("%q", o.masked(val))
		if o.secret {
			shown = "the value"
		}
		p.complain(o.name, "%s: %s is not allowed: %v", where, shown, err)
	}
}

// lookup returns the best source of an option and the values there; "" if it isn't given.
func (p *parser) lookup(o option) (string, []string) {
	aliases := spellings(o.alias)
	for i, source := range spellings(o.name) {
		values := p.given[source]
		if o.alias != "" {
			other := aliases[i]
			others := p.given[other]
			switch {
			case len(values) == 0:
				source, values = other, others
			case len(others) > 0 && !slices.Equal(values, others):
				p.complain(o.name, "%s and %s: are the same option but have different values, %q and %q", source, other,
					strings.Join(values, ","), strings.Join(others, ","))
			}
		}
		if len(values) > 0 {
			p.overruled(o, source, values)
			return source, values
		}
	}
	return "", nil
}

// overruled warns of a variable of kured's that source beats, since with kured the variable counts.
func (p *parser) overruled(o option, source string, values []string) {
	for _, name := range o.names() {
		kureds := variable("KURED_", name)
		other := strings.Join(p.given[kureds], ",")
		if kureds != source && other != "" && other != strings.Join(values, ",") && !isServiceURL(kureds, other) {
			p.warnings = append(p.warnings, fmt.Sprintf("%s has another value than %s and is ignored; kured would take the variable. Leave one of them out.",
				kureds, source))
		}
	}
}

// apply reports the rules that are broken.
func (p *parser) apply(rules []rule) {
	for _, r := range rules {
		if r.broken && !slices.ContainsFunc(r.options, p.isWrong) {
			p.complain(r.options[0], "--%s: %s", r.options[0], r.text)
		}
	}
}

func (p *parser) isWrong(option string) bool {
	return slices.ContainsFunc(p.problems, func(q problem) bool { return q.option == option })
}

// err returns the problems in the order of the options; those of no option come last.
func (p *parser) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	e := &Error{}
	take := func(name string) {
		for _, q := range p.problems {
			if q.option == name {
				e.Problems = append(e.Problems, q.text)
			}
		}
	}
	for _, o := range p.options {
		take(o.name)
	}
	take("")
	return e
}

// spellings are the ways to give an option, the strongest first.
func spellings(name string) []string {
	return []string{"--" + name, variable("REBOOTD_", name), variable("KURED_", name)}
}

func variable(prefix, name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// isServiceURL recognizes the REBOOTD_X_PORT=tcp://... that Kubernetes sets for a Service rebootd-x.
func isServiceURL(name, val string) bool {
	scheme, _, ok := strings.Cut(val, "://")
	return ok && strings.HasSuffix(name, "_PORT") && slices.Contains([]string{"tcp", "udp", "sctp"}, scheme)
}

// isServiceLink recognizes whatever Kubernetes puts into a pod's environment for a Service.
func isServiceLink(name, val string) bool {
	names := regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)$`)
	return isServiceURL(name, val) || names.MatchString(name)
}
