package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// allUsed fails the test for each right of these roles that none of the calls needed: the least that works has none.
func allUsed(t *testing.T, roles string, calls []call) {
	t.Helper()
	usedBeyond(t, nil, rightsIn(t, roles), calls)
}

// usedBeyond does so for the rights that are not in the base.
func usedBeyond(t *testing.T, base, all []right, calls []call) {
	t.Helper()
	looked := 0
	for _, r := range all {
		if slices.Contains(base, r) {
			continue
		}
		looked++
		if !slices.ContainsFunc(calls, r.allows) {
			t.Errorf("nobody ever needed the right to %s", r)
		}
	}
	if looked == 0 {
		t.Errorf("no rights in %v that are not in %v", all, base)
	}
}

// rightsIn are the rights that the roles among these objects give.
func rightsIn(t *testing.T, objects string) []right {
	t.Helper()
	var all []right
	for document := range strings.SplitSeq(objects, "\n---\n") {
		var role rbacv1.Role // a ClusterRole has the same fields, but for the namespace
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind != "Role" && role.Kind != "ClusterRole" {
			continue
		}
		for _, rule := range role.Rules {
			all = append(all, rightsOf(role.Namespace, rule)...)
		}
	}
	return all
}

// in is the rights in one namespace, as limited gives them.
func in(namespace string, all []right) []right {
	all = slices.Clone(all)
	for i := range all {
		if all[i].namespace != "" && all[i].namespace != "default" {
			all[i].namespace = namespace
		}
	}
	return all
}

// right is one of a rule's; an empty name or namespace is any.
type right call

func (r right) String() string {
	return fmt.Sprintf("%s in namespace %q", call(r), r.namespace)
}

func (r right) allows(c call) bool {
	return c.verb == r.verb && c.group == r.group && c.resource == r.resource && (r.namespace == "" || r.namespace == c.namespace) &&
		(r.name == "" || r.name == c.name)
}

func rightsOf(namespace string, rule rbacv1.PolicyRule) []right {
	var all []right
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				for _, name := range names {
					all = append(all, right{verb: verb, group: group, resource: resource, namespace: namespace, name: name})
				}
			}
		}
	}
	return all
}
