package gate

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// DaemonSets is the client: client-go's typed one for the namespace of kured fits.
type DaemonSets interface {
	List(ctx context.Context, o metav1.ListOptions) (*appsv1.DaemonSetList, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// Kured is closed while kured is installed: its DaemonSet exists, whether it has pods or not.
type Kured struct {
	DaemonSets      DaemonSets
	Namespace, Name string
	// Ours, if not nil, reports whether a DaemonSet of that name is rebootd's own.
	Ours func(*appsv1.DaemonSet) bool
	// Beside, if not nil, says why nothing may be done beside that kured; empty: nothing keeps from it.
	Beside func(*appsv1.DaemonSet) (why string, err error)
}

// Source lists and watches the one DaemonSet.
func (k Kured) Source() mirror.Source {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, k.Name).String()
	return mirror.Source{
		List: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			list, err := k.DaemonSets.List(ctx, o)
			return list, k.explain("list", err)
		},
		Watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			w, err := k.DaemonSets.Watch(ctx, o)
			return w, k.explain("watch", err)
		},
	}
}

// Judge looks whether there is a kured. None is what one wants.
func (k Kured) Judge(found []*appsv1.DaemonSet) plan.Verdict {
	v := plan.Verdict{Gate: "kured", Open: true, Everyone: true}
	if len(found) == 0 || k.Ours != nil && k.Ours(found[0]) {
		return v
	}
	if k.Beside == nil {
		v.Open, v.Reason = false, plan.KuredPresent
		v.Message = fmt.Sprintf("kured is installed (DaemonSet %s/%s), so rebootd only watches. Remove kured to let rebootd work, or move pool by pool with "+
			"--kured-interlock: see kubectl reboot migrate-from-kured. If that is no kured, say where kured is with --ds-namespace and --ds-name, which may be empty.",
			k.Namespace, k.Name)
		return v
	}
	switch why, err := k.Beside(found[0]); {
	case err != nil:
		v.Open, v.Reason, v.Message = false, plan.GateError, fmt.Sprintf("kured's lock can't be held (--kured-interlock): %v", err)
	case why != "":
		v.Open, v.Reason, v.Message = false, plan.KuredPresent, why
	}
	return v
}

func (k Kured) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s DaemonSet %s/%s (--ds-namespace, --ds-name): %w", verb, k.Namespace, k.Name, err)
}
