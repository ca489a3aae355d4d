package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

type object = map[string]any

func isChoice(o option) bool {
	return regexp.MustCompile(`^[a-z0-9-]+(\|[a-z0-9-]+)+$`).MatchString(o.Placeholder)
}

// schemaFile joins the part that is written by hand with the options.
func schemaFile(base []byte, sections []section) ([]byte, error) {
	var schema object
	if err := yaml.Unmarshal(base, &schema); err != nil {
		return nil, fmt.Errorf("reading the schema's base: %w", err)
	}
	defs, ok := schema["$defs"].(object)
	if !ok {
		return nil, fmt.Errorf("the schema's base has no $defs")
	}
	properties := object{"useRebootSentinelHostPath": object{
		"type":        []string{"boolean", "null"},
		"description": "kured's: true leaves rebootSentinelCommand out, as kured's chart does.",
	}}
	secret := object{}
	for _, k := range kuredKeys() {
		properties[k.key] = object{"type": []string{"string", "number", "boolean", "array", "null"}}
	}
	for _, s := range sections {
		for _, o := range s.options {
			properties[o.key] = o.schema()
			secret[o.key] = object{"$ref": "#/$defs/secretKey"}
		}
	}
	defs["configuration"] = object{
		"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties,
	}
	defs["configurationFromSecret"] = object{
		"type": []string{"object", "null"}, "additionalProperties": false, "properties": secret,
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	return append(text, '\n'), err
}

// schema is what the chart takes for an option. What it says is checked again, and in full, by the agent; here is caught early
// what can be said in a pattern. Every option may be null, for its default; text may be "" where kured's files have that.
func (o option) schema() object {
	s := object{}
	switch {
	case o.List:
		s["type"] = []string{"array", "string", "integer", "null"}
		s["items"] = object{"type": []string{"string", "integer"}}
	case o.Placeholder == "":
		s["enum"] = []any{true, false, "true", "false", "", nil}
	case isChoice(o) && o.Placeholder != "number|percentage":
		values := []any{nil, ""}
		for word := range strings.SplitSeq(o.Placeholder, "|") {
			values = append(values, word)
		}
		s["enum"] = values
	default:
		s["type"] = []string{"string", "null"}
		for _, form := range forms() {
			if o.Placeholder == form.placeholder {
				s = form.schema
			}
		}
	}
	return with(s, "description", o.comment())
}

type form struct {
	placeholder string
	schema      object
}

// forms are the placeholders that a pattern can check.
func forms() []form {
	whole := func(least, most any, pattern string) object {
		s := object{"type": []string{"integer", "string", "null"}, "pattern": pattern}
		if least != nil {
			s["minimum"] = least
		}
		if most != nil {
			s["maximum"] = most
		}
		return s
	}
	return []form{
		{"duration", duration()},
		{"number", whole(0, nil, `^[0-9]*$`)},
		{"seconds", whole(nil, nil, `^-?[0-9]*$`)},
		{"port", whole(0, 65535, `^[0-9]*$`)},
		{"number|percentage", whole(1, nil, `^([1-9][0-9]*%?)?$`)},
		{"signal", whole(1, 64, `^[A-Za-z0-9+-]*$`)},
		{"time", whole(0, 24, `^([0-9].*)?$`)},
		{"name", whole(nil, nil, `^[a-z0-9.-]*$`)},
		{"path", object{"type": []string{"string", "null"}, "pattern": "^(/.*)?$"}},
	}
}

// duration is text with a unit, or 0. Where another number stands, the schema's error lists the values that it may have: so it says why.
func duration() object {
	return object{
		"type": []string{"integer", "string", "null"}, "pattern": `^(0|([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)?$`,
		"if":   object{"type": "integer"},
		"then": object{"enum": []any{0, "a duration with its unit, such as 90s or 5m"}},
	}
}

func with(s object, key string, value any) object {
	s[key] = value
	return s
}
