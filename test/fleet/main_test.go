//go:debug randseednop=0

package fleet

import (
	"flag"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

var (
	oneSeed  = flag.Int64("seed", -1, "run this seed alone, and tell its whole story")
	firstly  = flag.Int64("from", 1, "the first seed")
	maxSeeds = flag.Int("seeds", 0, "how many seeds at most; 0: as many as the time allows")
	goOn     = flag.Bool("go-on", false, "go on after a seed that fails")
	parts    = flag.Int("parts", 1, "how many processes play beside each other")
	part     = flag.Int("part", 0, "which of them this is; only the first is started by hand")
	duration = flag.Duration("for", 0, "how long to try new seeds; 0: 60s, a few seconds with -short")
)

func TestMain(m *testing.M) {
	flag.Parse()
	klog.SetLogger(logr.Discard())
	// One thread makes the order of events the seed's own, and is quicker than two that wait for each other.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// budget is how long the simulation may take.
func budget() time.Duration {
	switch {
	case *duration > 0:
		return *duration
	case testing.Short():
		return 5 * time.Second
	case raceDetector:
		return 30 * time.Second
	default:
		return time.Minute
	}
}
