package main

import (
	"errors"
	"testing"
)

func TestText(t *testing.T) {
	for got, want := range map[string]string{
		withoutStamp("[ 12.3s] node1: up"):                           "node1: up",
		withoutStamp("takes 3s] or so"):                              "takes 3s] or so",
		withoutStamp(""):                                             "",
		complaints("one\n[  1.0s] error: two\nerror: three\nfour\n"): "two; three",
		complaints("one\n[  1.0s] two\n"):                            "two",
		complaints(""):                                               "",
		indent("a\nb\n"):                                             "    a\n    b\n",
		(&simHost{dir: "/x"}).sentinel():                             "/x/run/reboot-required",
		lockPath("/tmp/rebootd-demo-1"):                              "/tmp/rebootd-demo-1/lock",
		errorText(inParallel(2, failing("broken"))):                  "broken 0\nbroken 1",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if a, b := newBootID(), newBootID(); a == b || len(a) != len("0b23bacc-cc89-468a-bc2d-19109daa68c6") {
		t.Errorf("boot IDs %s and %s", a, b)
	}
}

func failing(why string) func(int) error {
	return func(i int) error { return errors.New(why + " " + string(rune('0'+i))) }
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
