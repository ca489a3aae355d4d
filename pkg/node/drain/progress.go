package drain

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Reason is the kind of thing that keeps a pod on the node.
type Reason string

// The reasons, in the order that obstacles are named in.
const (
	PDB         Reason = "PDB"         // disruption budgets don't allow it; tried again
	Held        Reason = "Held"        // must not be disturbed; not tried until it may be
	Forbidden   Reason = "Forbidden"   // we lack a permission, or admission refuses; tried again every 30 s
	Failed      Reason = "Error"       // any other answer; tried again with back-off
	Terminating Reason = "Terminating" // its end has been asked for; waited for
	Waiting     Reason = "Waiting"     // not tried yet
)

// Obstacle is what keeps one pod on the node.
type Obstacle struct {
	Namespace, Pod string // both empty: the node's pods can't be read
	Reason         Reason
	PDBs           []string // the disruption budgets, if the server named them; with PDB only
	Message        string   // the server's own words, or ours; may be long
}

func (o Obstacle) String() string {
	const longest = 300 // bytes
	who := "pods of the node"
	if o.Pod != "" {
		who = o.Namespace + "/" + o.Pod
	}
	if len(o.PDBs) > 0 {
		who += " (PDB " + strings.Join(o.PDBs, ", ") + ")"
	}
	text := who + ": " + o.Message
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// Progress is how far a drain is. Its numbers count pods, and only those that are to be evicted.
type Progress struct {
	Total   int // seen so far
	Evicted int // evictions that the server accepted
	Gone    int // gone from the node, by our doing or not
	Blocked int // can't be evicted now: PDB, Held, Forbidden or Error
	// Round is 1, or 2 when only pods are left that come last; 0 if no pod comes last. Last is how many of those are there.
	Round, Last int
	// Obstacles has one entry for each pod that is still there, the worst first.
	Obstacles []Obstacle
}

// Error is a drain that was ended by its context.
type Error struct {
	Node      string
	Obstacles []Obstacle // the worst first; empty if nothing was left but the last look
	Cause     error      // context.Cause
}

// Error names the first five obstacles.
func (e *Error) Error() string {
	const most = 5
	text := fmt.Sprintf("drain of node %s: %v", e.Node, e.Cause)
	if len(e.Obstacles) == 0 {
		return text
	}
	named := make([]string, 0, most)
	for _, o := range e.Obstacles[:min(most, len(e.Obstacles))] {
		named = append(named, o.String())
	}
	text += "; in the way: " + strings.Join(named, "; ")
	if rest := len(e.Obstacles) - most; rest > 0 {
		text += fmt.Sprintf("; and %d more", rest)
	}
	return text
}

// Unwrap returns the context's cause.
func (e *Error) Unwrap() error { return e.Cause }

// obstacle explains a refused or failed request.
func obstacle(err error) Obstacle {
	o := Obstacle{Reason: Failed, Message: err.Error()}
	var status apierrors.APIStatus
	switch {
	case namespaceTerminating(err):
		o.Reason = Terminating
	case apierrors.IsForbidden(err):
		o.Reason = Forbidden
	case apierrors.IsTooManyRequests(err) && errors.As(err, &status) && status.Status().Details != nil:
		for _, cause := range status.Status().Details.Causes {
			if cause.Type != policyv1.DisruptionBudgetCause {
				continue
			}
			if o.Reason != PDB {
				o.Reason, o.Message = PDB, cause.Message
			} else {
				o.Message += "; " + cause.Message
			}
			if name := budgetName(cause.Message); name != "" {
				o.PDBs = append(o.PDBs, name)
			}
		}
	}
	return o
}

// kindOf is the kind of answer that an eviction got.
func kindOf(err error) string {
	switch {
	case err == nil:
		return "evicted"
	case apierrors.IsNotFound(err):
		return "gone"
	}
	switch obstacle(err).Reason {
	case PDB:
		return "blocked"
	case Forbidden:
		return "forbidden"
	case Terminating:
		return "terminating"
	default:
		return "error"
	}
}

// budgetName takes the name out of what the API server says of a PodDisruptionBudget
// (pkg/registry/core/pod/storage/eviction.go): every sentence begins "The disruption budget NAME ".
func budgetName(message string) string {
	rest, ok := strings.CutPrefix(message, "The disruption budget ")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// namespaceTerminating says whether the pod couldn't be evicted because its namespace is being
// deleted, which will delete the pod too: kubectl waits for that.
func namespaceTerminating(err error) bool {
	return apierrors.IsForbidden(err) && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// sortObstacles puts the worst first, then goes by name.
func sortObstacles(obstacles []Obstacle) {
	order := []Reason{PDB, Held, Forbidden, Failed, Terminating, Waiting}
	slices.SortFunc(obstacles, func(a, b Obstacle) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Reason), slices.Index(order, b.Reason)),
			cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Pod, b.Pod))
	})
}
