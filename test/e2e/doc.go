// Package e2e runs rebootd as its users do: installed with Helm from the chart in this repository, on nodes with
// real kernels that really reboot. `make e2e` runs it; it needs root, Debian's user-mode-linux and some minutes.
//
// One cluster of three nodes is started once. Each test has a scene: nodes of its own, and a release of the chart in a
// namespace of its own whose agents run on them, so that tests run side by side as far as there are nodes. A scene ends only when its nodes
// are back in service and nothing is left of the test; if not, the test fails and says what is left. All that could
// tell why is then in the folder that is named at the end of the test (below REBOOTD_E2E_DIR, by default
// /tmp/rebootd-e2e).
package e2e
