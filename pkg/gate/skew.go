package gate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/rebootd/rebootd/pkg/plan"
)

// oldestMinor is how many minor versions a kubelet may be older than the API server.
const oldestMinor = 3

// Skew is closed while the node's kubelet is newer than the API server, or too old for it.
type Skew struct {
	// Server asks the API server for its version.
	Server func(ctx context.Context) (string, error)
}

// Ask compares what the kubelet reported last with what the API server says now. It costs one request at most.
func (s Skew) Ask(ctx context.Context, n *corev1.Node) plan.Verdict {
	v := plan.Verdict{Gate: "version-skew", Reason: plan.GateError}
	server, err := s.Server(ctx)
	if err != nil {
		v.Everyone = true
		v.Message = fmt.Sprintf("The API server's version can't be read: %v. It must fit the kubelet's (--version-skew).", err)
		return v
	}
	v.Message, err = skew(n.Status.NodeInfo.KubeletVersion, server)
	switch {
	case err != nil:
		v.Message = fmt.Sprintf("Whether the kubelet's version fits the API server's isn't known: %v (--version-skew).", err)
	case v.Message != "":
		v.Reason = plan.BlockedByVersionSkew
	default:
		v.Open, v.Reason = true, ""
	}
	return v
}

// skew says what is wrong; "" is nothing. Patch versions, and what vendors put behind them, don't matter.
func skew(kubelet, server string) (string, error) {
	if kubelet == "" {
		return "", fmt.Errorf("the kubelet has not reported its version")
	}
	k, err := version.ParseGeneric(kubelet)
	if err != nil {
		return "", fmt.Errorf("the kubelet's version %q is none", kubelet)
	}
	s, err := version.ParseGeneric(server)
	if err != nil {
		return "", fmt.Errorf("the API server's version %q is none", server)
	}
	switch {
	case k.Major() > s.Major(), k.Major() == s.Major() && k.Minor() > s.Minor():
		return fmt.Sprintf("The kubelet is %s, newer than the API server, which is %s. Upgrade the control plane first, or downgrade the kubelet.", kubelet, server), nil
	case k.Major() < s.Major(), k.Minor()+oldestMinor < s.Minor():
		return fmt.Sprintf("The kubelet is %s, more than %d minor versions older than the API server, which is %s. Upgrade the kubelet.", kubelet, oldestMinor, server), nil
	}
	return "", nil
}
