package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScenarios plays the stories in testdata. A line that isn't indented is a step, a line indented by
// two blanks is what came of it. UPDATE_GOLDEN=1 writes what came; it is to be reviewed line by line.
//
// Each decision is one line: time, step, reason, phase afterwards, how the node stands (cordoned, slot) and
// the message. What is told again unchanged is left out.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				text = []byte(got)
			}
			if got != string(text) {
				t.Errorf("differs; UPDATE_GOLDEN=1 go test ./pkg/plan rewrites it. Got:\n%s", got)
			}
		})
	}
}

// play runs a script of one or more stories; each "story" begins a new world.
func play(t *testing.T, script string) string {
	t.Helper()
	var out strings.Builder
	w := newWorld()
	last := ""
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if words[0] == "story" {
			w, last = newWorld(), ""
			continue
		}
		tell := func(line string) {
			// A wait that only repeats what was just written says nothing new.
			repeats := line == last || strings.HasPrefix(line, "wait") && last != "" && line[verbWidth:] == last[verbWidth:]
			if !repeats {
				fmt.Fprintf(&out, "  %s  %s\n", clock(w.now.Sub(start())), line)
			}
			last = line
		}
		if words[0] == "reach" { // the way to a phase that another story tells
			words[0], tell = "until", func(line string) { last = line }
		}
		if err := w.do(words[0], words[1:], tell); err != nil {
			t.Fatalf("%s: %v", strings.TrimSpace(line), err)
		}
	}
	return out.String()
}

// verbWidth is the width of a line's first column.
const verbWidth = 8

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

// do runs one step of a script.
func (w *world) do(verb string, args []string, tell func(string)) error {
	arg := strings.Join(args, " ")
	switch verb {
	case "wanted":
		w.wanted = map[string]Answer{"yes": Yes, "no": No}[arg]
	case "request", "request-now", "withdraw":
		w.request(verb, arg)
	case "step", "run", "until":
		return w.run(verb, arg, tell)
	case "crash":
		w.forget()
	case "power-cut":
		w.reboot()
	case "cordon", "uncordon":
		w.node.Unschedulable = verb == "cordon"
	case "kubelet":
		w.node.Ready, w.node.BootID = args[0] == "ready", w.bootID()
	case "gate":
		v := verdict(args)
		if d, err := time.ParseDuration(strings.TrimPrefix(args[len(args)-1], "for=")); err == nil {
			v.Until = w.now.Add(d)
		}
		w.gate(v)
	case "hooks":
		w.hookSetting(args)
	case "skew":
		if w.skew = (Verdict{}); arg == "yes" {
			w.skew = Verdict{Reason: BlockedByVersionSkew, Message: "The kubelet is newer than the API server."}
		}
	case "lease":
		w.lease = ""
	case "slots":
		w.free, w.slotErr = arg == "free", ""
		if arg == "unreadable" {
			w.slotErr = "The slots can't be read: no answer."
		}
	case "volumes":
		w.volumes = args
	case "daemon":
		w.daemon(args[0], args[1:])
	case "pods":
		w.podsStuck, w.pdb = args[0] == "stuck", arg == "stuck pdb"
	case "reboot":
		return w.rebootSetting(args)
	case "record":
		w.record = arg
	case "boot-id":
		w.bootErr = map[bool]string{true: "permission denied"}[arg == "unreadable"]
	case "soft":
		w.node.Soft = args
	case "node":
		w.nodeSetting(arg)
	case "policy":
		return w.policySetting(args)
	default:
		return fmt.Errorf("unknown step %q", verb)
	}
	return nil
}

// request sets one of the two annotations; "withdraw NAME" removes it.
func (w *world) request(verb, arg string) {
	now := verb == "request-now" || arg == "request-now"
	var kept []Request
	for _, q := range w.node.Requests {
		if q.Now != now {
			kept = append(kept, q)
		}
	}
	if verb != "withdraw" {
		kept = append(kept, Request{Text: arg, Now: now})
	}
	w.node.Requests = kept
}

// daemon reads "NAME ready" or "NAME WHY": the kubelet has started its pod anew, and so it is.
func (w *world) daemon(name string, so []string) {
	d := Daemon{Name: name, Ready: so[0] == "ready", Why: strings.Join(so, " "), Started: w.now, Containers: fmt.Sprintf("at-%d", w.now.Unix())}
	for i := range w.daemons {
		if w.daemons[i].Name == name {
			w.daemons[i] = d
			return
		}
	}
	w.daemons = append(w.daemons, d)
}

func (w *world) nodeSetting(arg string) {
	switch arg {
	case "gone":
		w.node.Exists = false
	case "re-created": // the garbage collector frees its slot
		w.node = Node{Name: w.node.Name, Exists: true, Ready: true, BootID: w.bootID()}
		w.record, w.lease = "", ""
	default:
		w.node.Exists = true
	}
}

func (w *world) rebootSetting(args []string) error {
	switch args[0] {
	case "fails":
		n, err := strconv.Atoi(args[1])
		w.failsFor = n
		return err
	case "keeps-sentinel":
		w.clears = false
	case "takes":
		d, err := time.ParseDuration(args[1])
		w.backIn = d
		return err
	default:
		w.command = args[0]
	}
	return nil
}

func (w *world) policySetting(args []string) error {
	if args[0] == "on-drain-timeout" {
		w.policy.OnDrainTimeout = OnDrainTimeout(args[1])
		return nil
	}
	if args[0] == "taint" {
		w.policy.Taint = strings.Join(args[1:], "")
		return nil
	}
	settings := map[string]*time.Duration{
		"command-timeout":       &w.policy.CommandTimeout,
		"volume-detach-timeout": &w.policy.VolumeDetachTimeout,
		"load-balancer-delay":   &w.policy.LoadBalancerDelay,
		"drain-delay":           &w.policy.DrainDelay, "reboot-delay": &w.policy.RebootDelay, "settle-time": &w.policy.SettleTime,
		"drain-timeout": &w.policy.DrainTimeout, "back-off-max": &w.policy.BackOffMax,
	}
	d, err := time.ParseDuration(args[1])
	if err != nil || settings[args[0]] == nil {
		return fmt.Errorf("policy %v: %w", args, err)
	}
	*settings[args[0]] = d
	return nil
}

// verdict reads "NAME open" or "NAME closed REASON [everyone] [costly] [skippable]".
func verdict(args []string) Verdict {
	v := Verdict{Gate: args[0], Open: args[1] == "open"}
	if !v.Open {
		v.Reason, v.Message = Reason(args[2]), fmt.Sprintf("Gate %s is closed.", args[0])
	}
	for _, a := range args[2:] {
		v.Everyone = v.Everyone || a == "everyone"
		v.Costly = v.Costly || a == "costly"
		v.Skippable = v.Skippable || a == "skippable"
	}
	return v
}

// run looks and acts: once (step), for a time (run 5m), or until a phase is reached (until Draining).
func (w *world) run(verb, arg string, tell func(string)) error {
	end, phase := w.now, Phase("")
	switch verb {
	case "run":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		end = w.now.Add(d)
	case "until":
		end, phase = w.now.Add(24*time.Hour), Phase(arg)
	}
	for {
		pause := w.turn(tell)
		r, _ := ParseRecord(w.record)
		if verb == "step" {
			return nil
		}
		if w.now = w.now.Add(pause); phase != "" && r.Phase == phase {
			return nil
		}
		if !w.now.Before(end) {
			if phase != "" {
				return fmt.Errorf("not reached: the phase is %s", r.Phase)
			}
			return nil
		}
	}
}

// turn is one look and the step that follows. It returns how long until the next.
func (w *world) turn(tell func(string)) time.Duration {
	o := w.look()
	a := Decide(o, w.policy, w.now)
	pods, boot, hooks := w.process.pods.Work, w.boot, w.process.hooks.state
	w.act(o, a)
	tell(w.line(a))
	woken := w.process.pods.Work != pods || w.process.command.Work != o.Command.Work || w.boot != boot || w.process.hooks.state != hooks
	switch {
	case woken, a.Do != DoWait && a.Do != DoDrain && a.Do != DoReboot && a.Do != DoHook, a.Do == DoDrain && pods == Running && !w.podsStuck:
		return time.Second
	case a.Again > 0:
		return min(a.Again, time.Minute)
	}
	return time.Minute
}

func (w *world) line(a Action) string {
	phase := "?"
	if r, err := ParseRecord(w.record); err == nil {
		phase = string(r.Phase)
	}
	stands := " "
	if w.node.Unschedulable {
		stands = "C"
	}
	if w.lease != "" {
		stands += "S"
	} else {
		stands += " "
	}
	return fmt.Sprintf("%-8s  %-19s  %-10s  %s  %s", a.Do, a.Reason, phase, stands, a.Message)
}
