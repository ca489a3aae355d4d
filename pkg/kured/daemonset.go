package kured

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	concurrencyFlag     = "--concurrency"
	concurrencyVariable = "KURED_CONCURRENCY"
)

// Concurrency is how many nodes kured lets go at once, as its DaemonSet says; it decides on the form of the lock. What can't be known is
// an error: in the wrong form kured would overwrite the lock.
func Concurrency(d *appsv1.DaemonSet) (int, error) {
	most := 1
	for _, c := range d.Spec.Template.Spec.Containers {
		n, err := concurrency(c)
		if err != nil {
			return 0, fmt.Errorf("container %s of kured's DaemonSet %s/%s: %w", c.Name, d.Namespace, d.Name, err)
		}
		most = max(most, n)
	}
	return most, nil
}

func concurrency(c corev1.Container) (int, error) {
	fromFlag, given := flag(append(append([]string(nil), c.Command...), c.Args...))
	fromEnv, set, err := variable(c)
	switch {
	case err != nil:
		return 0, err
	case given && set && fromFlag != fromEnv:
		// The environment wins with some releases of kured, the flag with others.
		return 0, fmt.Errorf("%s is %q and %s is %q: make them the same", concurrencyFlag, fromFlag, concurrencyVariable, fromEnv)
	case set:
		fromFlag = fromEnv
	case !given && len(c.EnvFrom) > 0:
		return 0, fmt.Errorf("%s may come from envFrom, which isn't read: set %s there", concurrencyVariable, concurrencyFlag)
	case !given:
		return 1, nil
	}
	n, err := strconv.Atoi(fromFlag)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, which is no number", concurrencyFlag, fromFlag)
	}
	return max(n, 1), nil // kured takes what isn't above 1 for 1
}

// flag is the last value of --concurrency.
func flag(args []string) (value string, given bool) {
	for i, arg := range args {
		name, v, ok := strings.Cut(arg, "=")
		switch {
		case name != concurrencyFlag:
			continue
		case !ok && i+1 < len(args):
			v = args[i+1]
		}
		value, given = v, true
	}
	return value, given
}

func variable(c corev1.Container) (value string, set bool, err error) {
	for _, e := range c.Env {
		if e.Name != concurrencyVariable {
			continue
		}
		if e.ValueFrom != nil {
			return "", false, errors.New(concurrencyVariable + " comes from elsewhere, which isn't read: set " + concurrencyFlag + " there")
		}
		value, set = e.Value, e.Value != ""
	}
	return value, set, nil
}
