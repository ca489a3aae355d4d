package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rebootd/rebootd/pkg/tell/notify"
)

func notifyOptions(c *Config) group {
	n := &c.notify
	return group{"Notices", []option{
		{
			name: "notify-url", value: notifyURL(&n.urls), defText: "none", secret: true,
			meaning: "Where to send notices: a URL of shoutrrr, such as slack://, teams://, smtp:// or generic+https://. Repeatable; " +
				"in an environment variable several are parted by spaces.",
			example: "slack://hook:T00000000-B00000000-XXXXXXXXXXXXXXXXXXXXXXXX@webhook\ngeneric+https://hooks.example.org/rebootd?template=json",
		},
		{
			name: "notify-url-file", value: notifyURLFile(&n.urls), defText: "none",
			meaning: "A file with such URLs, one a line, as a Secret is mounted; it is read at the start. Repeatable.",
			example: "/etc/rebootd/notify/urls",
		},
		{
			name: "notify-on", value: notifyEvents(&n.on), defText: "all but required",
			meaning: "What to send a notice of: " + eventNames() + ". Repeatable, or a list with commas.",
			example: "back,not-back,circuit",
		},
		{
			name: "notify-blocked-after", value: duration(&c.NotifyBlockedAfter, 0), def: "24h",
			meaning: "How long something other than a window, a pause or the other nodes must have held this node back for the notice blocked; 0 means never.",
			example: "6h",
		},
		{
			name: "notify-template", value: notifyTemplate(&n.templates), defText: notify.DefaultTemplate,
			meaning: "A notice as a Go template, with Event, Node, Cluster, Phase, Reason, Message, AskedBy, Why, Packages, Time, Waited, OutFor, " +
				"DrainedIn and BootedIn; event=template is for that event only. Repeatable.",
			example: "{{.Node}}: {{.Message}}{{with .Why}} ({{.}}){{end}}\nback={{.Node}} is back after {{.OutFor}}.\nrequired={{.Node}}: {{join .Packages \", \"}}",
		},
		{
			name: "cluster-name", value: text(&c.ClusterName, "text"), defText: "none",
			meaning: "What notices and silences call this cluster.",
			example: "prod-west",
		},
		{
			name: "message-template-drain", value: emptyIsUnset(kuredTemplate(&n.kured, notify.Draining)), defText: "--notify-template",
			meaning: "The text of the notice draining, as kured takes it: with %s for the node's name.",
			example: "Draining node %s",
		},
		{
			name: "message-template-reboot", value: emptyIsUnset(kuredTemplate(&n.kured, notify.Rebooting)), defText: "--notify-template",
			meaning: "The text of the notice rebooting, as kured takes it: with %s for the node's name.",
			example: "Rebooting node %s",
		},
		{
			name: "message-template-uncordon", value: emptyIsUnset(kuredTemplate(&n.kured, notify.Back)), defText: "--notify-template",
			meaning: "The text of the notice back, as kured takes it: with %s for the node's name.",
			example: "Node %s rebooted and uncordoned successfully",
		},
		{
			name: "slack-hook-url", value: slackHook(&n.slackHook), defText: "none", secret: true,
			meaning: "A hook of Slack, in kured's older way; --notify-url wins.",
			example: "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
		},
		{
			name: "slack-username", value: text(&n.slackUser, "text"), defText: "none",
			meaning: "The name that --slack-hook-url posts under.",
			example: "kured", beside: "slack-hook-url=https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
		},
		{
			name: "slack-channel", value: text(&n.slackChannel, "text"), defText: "none",
			meaning: "The channel for --slack-hook-url. It changes nothing, as with kured: a hook of Slack posts to the channel that it was made for.",
			example: "ops", beside: "slack-hook-url=https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
		},
	}}
}

// notices is what the options say before they are joined.
type notices struct {
	urls                               []string
	on                                 []notify.Event
	templates, kured                   []string
	slackHook, slackUser, slackChannel string
}

// join sets what the agent runs with.
func (n notices) join(c *Config) {
	c.NotifyURLs, c.NotifyOn = n.urls, n.on
	if len(n.on) == 0 {
		c.NotifyOn = slices.DeleteFunc(notify.Events(), func(e notify.Event) bool { return e == notify.Required })
	}
	if len(n.urls) == 0 && n.slackHook != "" {
		if u, err := notify.SlackURL(n.slackHook, n.slackUser); err == nil { // it was checked when it was set
			c.NotifyURLs = []string{u}
		}
	}
	if n.slackChannel != "" {
		c.Warnings = append(c.Warnings, "--slack-channel changes nothing: a hook of Slack posts to the channel that it was made for.")
	}
	c.NotifyTemplates = slices.Concat(n.kured, n.templates)
}

// slackHook takes the URL of a hook; "" is none.
func slackHook(to *string) value {
	return checked(to, "URL", func(s string) error {
		if s == "" {
			return nil
		}
		u, err := notify.SlackURL(s, "")
		if err == nil {
			err = notify.Check(u)
		}
		return err
	})
}

func notifyURL(to *[]string) value {
	return value{placeholder: "URL", list: true, set: func(s string) error {
		for word := range strings.FieldsSeq(s) {
			u := strings.Trim(word, `"'`)
			if u == "" {
				continue
			}
			if err := notify.Check(u); err != nil {
				return err
			}
			*to = append(*to, u)
		}
		return nil
	}}
}

func notifyURLFile(to *[]string) value {
	one := notifyURL(to)
	return value{placeholder: "path", list: true, set: func(s string) error {
		text, err := os.ReadFile(s)
		if err != nil {
			return fmt.Errorf("a file that can be read: %w", err)
		}
		i := 0
		for line := range strings.Lines(string(text)) {
			i++
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
				continue
			}
			if err := one.set(line); err != nil {
				return fmt.Errorf("in line %d: %w", i, err)
			}
		}
		return nil
	}}
}

func notifyEvents(to *[]notify.Event) value {
	return value{placeholder: "events", list: true, set: func(s string) error {
		for word := range strings.SplitSeq(s, ",") {
			e := notify.Event(strings.TrimSpace(word))
			if !slices.Contains(notify.Events(), e) {
				return errors.New(eventNames())
			}
			*to = append(*to, e)
		}
		return nil
	}}
}

func eventNames() string {
	names := make([]string, 0, len(notify.Events()))
	for _, e := range notify.Events() {
		names = append(names, string(e))
	}
	return strings.Join(names, ", ")
}

func notifyTemplate(to *[]string) value {
	return value{placeholder: "template", list: true, set: func(s string) error {
		if _, err := notify.ParseTemplates([]string{s}); err != nil {
			return err
		}
		*to = append(*to, s)
		return nil
	}}
}

func kuredTemplate(to *[]string, e notify.Event) value {
	return value{placeholder: "text", set: func(s string) error {
		t := notify.FromKured(e, s)
		if _, err := notify.ParseTemplates([]string{t}); err != nil {
			return err
		}
		*to = append(*to, t)
		return nil
	}}
}

// text takes any text.
func text(to *string, placeholder string) value {
	return checked(to, placeholder, func(string) error { return nil })
}
