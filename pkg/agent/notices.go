package agent

import (
	"time"

	"github.com/sirupsen/logrus"

	"github.com/rebootd/rebootd/pkg/config"
	"github.com/rebootd/rebootd/pkg/tell"
	"github.com/rebootd/rebootd/pkg/tell/notify"
)

// notices are those that were configured; nil: none.
func notices(c config.Config, m *tell.Metrics, log logrus.FieldLogger, now func() time.Time) *tell.Notices {
	if len(c.NotifyURLs) == 0 {
		return nil
	}
	on := map[notify.Event]bool{}
	for _, e := range c.NotifyOn {
		on[e] = true
	}
	templates, err := notify.ParseTemplates(c.NotifyTemplates)
	if err != nil {
		log.WithError(err).Error("Notices have the default text.") // Parse has checked it, and the URLs below
	}
	n := &notify.Notifier{On: on, Templates: templates, Log: log, Count: m.Notified}
	for _, raw := range c.NotifyURLs {
		if err := n.Add(raw); err != nil {
			log.WithError(err).Error("A --notify-url is left out.")
		}
	}
	return &tell.Notices{
		Node: c.NodeName, Cluster: c.ClusterName, Notifier: n, Now: now,
		Watcher: notify.Watcher{BlockedAfter: c.NotifyBlockedAfter, NotBackAfter: c.RebootTimeout},
	}
}
