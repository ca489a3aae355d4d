package integration

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rebootd/rebootd/pkg/plan"
)

// A Node deleted with --cascade=orphan leaves its slot behind. Who waits for it says so, and how to free it.
func TestOrphanedSlot(t *testing.T) {
	t.Parallel()
	f := shared(t)
	ns := f.namespace(t)
	gone, next := f.machine(t, ns, "gone"), f.machine(t, ns, "next")
	gone.stuck()
	gone.require()
	gone.power(func() *process { return gone.agent() })
	gone.says(plan.BlockedByPDB)
	next.require()
	next.power(func() *process { return next.agent() })
	next.says(plan.WaitingForSlot)
	orphan := metav1.DeletePropagationOrphan
	if err := f.client.CoreV1().Nodes().Delete(t.Context(), gone.name, metav1.DeleteOptions{PropagationPolicy: &orphan}); err != nil {
		t.Fatal(err)
	}
	until(t, "the slot loses its owner", func() bool {
		all := f.slots(ns)
		return len(all) == 1 && len(all[0].OwnerReferences) == 0
	})
	name := f.slots(ns)[0].Name
	next.says(plan.GateError, "lost the reference to its owner", "kubectl delete lease -n "+ns+" "+name+", or kubectl reboot release "+name)
	f.kubectl(t, "delete", "lease", "-n", ns, name)
	next.back(1)
}
