package agent

import (
	"time"

	"github.com/sirupsen/logrus"
)

const (
	troubleFirst = time.Second
	troubleMost  = 30 * time.Second
	// troubleRetell is how often a trouble that lasts is told again.
	troubleRetell = 10 * time.Minute
)

// trouble tells of errors once, not on every try, and spaces the tries.
type trouble struct {
	log    logrus.FieldLogger
	chance func() float64
	tries  int
	told   string
	at     time.Time
	since  time.Time
}

// with notes an error and returns how long to wait before the next try.
func (t *trouble) with(err error, now time.Time) time.Duration {
	if t.tries == 0 {
		t.since = now
	}
	wait := min(troubleFirst<<min(t.tries, 10), troubleMost)
	t.tries++
	log := t.log.WithError(err).WithField("tries", t.tries)
	if text := err.Error(); text != t.told || now.Sub(t.at) >= troubleRetell {
		t.told, t.at = text, now
		log.Warn("This step failed and is tried again.")
	} else {
		log.Debug("This step failed again.")
	}
	// Half of it at random: after an outage not all agents come back in the same moment.
	return wait/2 + time.Duration(t.chance()*float64(wait/2))
}

// over notes that a turn went well.
func (t *trouble) over(now time.Time) {
	if t.tries > 0 {
		t.log.WithField("tries", t.tries).Infof("It works again, after %s.", now.Sub(t.since).Round(time.Second))
	}
	t.tries, t.told = 0, ""
}
