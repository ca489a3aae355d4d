package agent

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/plan"
)

// askDaemons is no gate of its own: it reads how the DaemonSets' pods are before the reboot, for after it nobody could tell. Once is
// enough for a node that is out.
func (a *Agent) askDaemons(ctx context.Context, r plan.Record) []plan.Verdict {
	if a.Daemons == nil || r.Out() && a.memory.daemons != nil {
		return nil
	}
	v := plan.Verdict{Gate: "daemonsets", Open: true, Everyone: true}
	var err error
	if a.memory.daemons, err = a.Daemons.Read(ctx); err != nil {
		v = unanswered(v, err)
	} else if a.memory.daemons == nil {
		a.memory.daemons = []plan.Daemon{} // there are none, and that is known
	}
	return []plan.Verdict{v}
}

// watchDaemons watches the pods of the DaemonSets, only after a reboot, until they are ready again. It begins before the reboot is written down: that
// is written while they are read.
func (a *Agent) watchDaemons(ctx context.Context, o plan.Observation) {
	soon := !a.DryRun && o.Record.Out() && o.BootID != "" && o.BootID != o.Record.BootID
	if a.Daemons == nil || !soon && o.Record.Phase != plan.Recovering {
		a.daemons.Stop()
		return
	}
	a.daemons.Start(ctx, a.Wake, func() *mirror.Mirror[*corev1.Pod] { return mirror.New("pods", a.Daemons.Source(), &corev1.Pod{}, nil) })
}

// observeDaemons adds what is known of the DaemonSets. errNotYet: look again when the mirror has been filled.
func (a *Agent) observeDaemons(o *plan.Observation) error {
	if a.Daemons == nil || o.Record.Phase != plan.Recovering {
		o.Daemons = a.memory.daemons
		return nil
	}
	pods, err := a.daemons.Items()
	switch {
	case errors.Is(err, mirror.ErrNotSynced):
		return errNotYet
	case err != nil:
		o.DaemonsError = err.Error()
		return nil
	}
	o.Daemons = a.Daemons.Of(pods)
	if o.BootedAt, err = a.BootedAt(); err != nil {
		o.DaemonsError = err.Error()
	}
	return nil
}
