package lock

import (
	"fmt"
	"hash/fnv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// nameLimit bounds a group's name, so that the Lease's name and label stay within theirs.
const nameLimit = 40

// GroupName is the lock group that a label's value stands for: the value itself where it can be part of a Lease's name, else
// what can be kept of it and a hash that tells it from others.
//
// The group of the nodes without the label has a name of its own, which no value stands for.
func GroupName(value, unlabelled string) string {
	if value != unlabelled && len(value) <= nameLimit && len(validation.IsDNS1123Label(value)) == 0 {
		return value
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(value)) // a hash.Hash never returns an error
	kept := strings.Trim(strings.Map(dnsRune, strings.ToLower(value)), "-")
	return strings.TrimLeft(fmt.Sprintf("%s-%08x", kept[:min(len(kept), nameLimit-9)], h.Sum32()), "-")
}

func dnsRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}
