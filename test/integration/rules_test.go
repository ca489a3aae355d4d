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
	rights := 0
	for document := range strings.SplitSeq(roles, "\n---\n") {
		var role rbacv1.Role // a ClusterRole has the same fields, but for the namespace
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind != "Role" && role.Kind != "ClusterRole" {
			continue
		}
		for _, rule := range role.Rules {
			for _, right := range rightsOf(role.Namespace, rule) {
				rights++
				if !slices.ContainsFunc(calls, right.allows) {
					t.Errorf("%s %s: nobody ever needed the right to %s", role.Kind, role.Name, right)
				}
			}
		}
	}
	if rights == 0 {
		t.Errorf("no rights in\n%s", roles)
	}
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
