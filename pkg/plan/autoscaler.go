package plan

import "fmt"

// Taint is a taint of a Node, without its effect.
type Taint struct{ Key, Value string }

// Removed says who is about to remove a Node with these taints, and how that shows; empty if nobody is. The Cluster Autoscaler's
// DeletionCandidateOfClusterAutoscaler is only a hint, which may stay for long, and goes when the node is marked as out: it
// counts for nothing.
func Removed(taints []Taint) (who, sign string) {
	for _, t := range taints {
		switch {
		case t.Key == "ToBeDeletedByClusterAutoscaler":
			return "the Cluster Autoscaler", "taint " + t.Key
		case t.Key == "karpenter.sh/disrupted":
			return "Karpenter", "taint " + t.Key
		case t.Key == "karpenter.sh/disruption" && t.Value == "disrupting":
			return "Karpenter", fmt.Sprintf("taint %s=%s", t.Key, t.Value)
		}
	}
	return "", ""
}
