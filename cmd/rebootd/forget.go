package main

import (
	"k8s.io/apimachinery/pkg/runtime"
	clientgo "k8s.io/client-go/kubernetes/scheme"
	kubectl "k8s.io/kubectl/pkg/scheme"
)

// forget empties the tables that client-go's clientset and kubectl fill with every kind of object there is, when the program is loaded: they would be
// a fifth of what an idle agent has in memory. The agent's own client has a table of its own, of the few kinds that it asks for (package kube), and
// kubectl's drain library is used only to choose among pods at hand. Nothing may be using the tables yet, so it comes before all else.
func forget() {
	*clientgo.Scheme = *runtime.NewScheme()
	*kubectl.Scheme = *runtime.NewScheme()
}
