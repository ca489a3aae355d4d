package agent

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"

	"github.com/rebootd/rebootd/pkg/mirror"
	"github.com/rebootd/rebootd/pkg/node"
	"github.com/rebootd/rebootd/pkg/plan"
)

// daemonWatch watches this node's pods, but only after a reboot, until the DaemonSets' pods are ready again.
type daemonWatch struct {
	pods   *mirror.Mirror[*corev1.Pod]
	cancel context.CancelFunc
	ended  chan struct{}
}

func (w *daemonWatch) start(ctx context.Context, d *node.Daemons) {
	if w.pods != nil {
		return
	}
	ctx, w.cancel = context.WithCancel(ctx)
	pods, ended := mirror.New("pods", d.Source(), &corev1.Pod{}, nil), make(chan struct{})
	w.pods, w.ended = pods, ended
	go func() {
		defer close(ended)
		pods.Run(ctx)
	}()
}

func (w *daemonWatch) stop() {
	if w.pods == nil {
		return
	}
	w.cancel()
	<-w.ended
	w.pods = nil
}

func (w *daemonWatch) changed() <-chan struct{} {
	if w.pods == nil {
		return nil
	}
	return w.pods.Changed()
}

// askDaemons is no gate of its own: it reads how the DaemonSets' pods are before the reboot, for after it nobody could tell.
func (a *Agent) askDaemons(ctx context.Context) []plan.Verdict {
	if a.Daemons == nil {
		return nil
	}
	v := plan.Verdict{Gate: "daemonsets", Open: true, Everyone: true}
	var err error
	if a.memory.daemons, err = a.Daemons.Read(ctx); err != nil {
		v = unanswered(v, err)
	}
	return []plan.Verdict{v}
}

// observeDaemons adds what is known of the DaemonSets. errNotYet: look again when the mirror has been filled.
func (a *Agent) observeDaemons(ctx context.Context, o *plan.Observation) error {
	if a.Daemons == nil || o.Record.Phase != plan.Recovering {
		a.daemons.stop()
		o.Daemons = a.memory.daemons
		return nil
	}
	a.daemons.start(ctx, a.Daemons)
	pods, err := a.daemons.pods.Items()
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
