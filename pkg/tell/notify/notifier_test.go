package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	"github.com/sirupsen/logrus"
)

// desk receives notices.
type desk struct {
	mu    sync.Mutex
	got   []string
	tries int
	send  func(try int) error
}

func (d *desk) take(text string) error {
	d.mu.Lock()
	d.tries++
	try := d.tries
	d.mu.Unlock()
	if d.send != nil {
		if err := d.send(try); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, text)
	return nil
}

func (d *desk) received() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.got, "|")
}

func newNotifier(t *testing.T) (*Notifier, map[Result]int, *bytes.Buffer) {
	t.Helper()
	templates, err := ParseTemplates([]string{"back=It is back.", FromKured(Draining, "Draining node %s")})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	counts, log := map[Result]int{}, &bytes.Buffer{}
	l := logrus.New()
	l.SetOutput(log)
	l.SetLevel(logrus.DebugLevel)
	on := map[Event]bool{}
	for _, e := range Events()[1:] {
		on[e] = true
	}
	return &Notifier{On: on, Templates: templates, Log: l, Count: func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		counts[r]++
	}}, counts, log
}

// A service that fails or hangs holds up no other one, and is tried again.
func TestServicesDontHinderEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, counts, _ := newNotifier(t)
		hangs := &desk{send: func(int) error { time.Sleep(time.Hour); return nil }}
		fails := &desk{send: func(try int) error {
			if try < 3 {
				return errors.New("busy")
			}
			return nil
		}}
		good := &desk{}
		n.add("hangs", hangs.take)
		n.add("fails", fails.take)
		n.add("good", good.take)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); n.Run(ctx) }()
		n.Tell(Notice{Event: Required, Node: "a", Message: "not wanted"})
		n.Tell(Notice{Event: Draining, Node: "a", Message: "Cordoned."})
		n.Tell(Notice{Event: Back, Node: "a"})
		n.Tell(Notice{Event: Loop, Node: "a", Cluster: "prod", Message: "It does not clear."})
		synctest.Wait()
		want := "Draining node a|It is back.|a (prod): It does not clear."
		if got := good.received(); got != want {
			t.Errorf("got %s", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := fails.received(); got != want || fails.tries != 5 {
			t.Errorf("after a minute and %d tries: %s", fails.tries, got)
		}
		time.Sleep(time.Hour)
		cancel()
		<-ended
		if counts[Sent] != 6 || counts[Failed] != 3 || counts[Dropped] != 0 {
			t.Errorf("%v", counts)
		}
		time.Sleep(2 * time.Hour)
	})
}

// The queue is bounded, and the newest stays.
func TestQueueIsBounded(t *testing.T) {
	n, counts, _ := newNotifier(t)
	d := &desk{}
	n.add("d", d.take)
	for i := range queued + 5 {
		n.Tell(Notice{Event: Loop, Node: fmt.Sprint(i)})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Run(ctx)
	got := strings.Split(d.received(), "|")
	if len(got) != queued || got[queued-1] != fmt.Sprintf("%d: ", queued+4) || counts[Dropped] != 5 {
		t.Errorf("%d received, the last %q, %v", len(got), got[len(got)-1], counts)
	}
}

// When the agent ends, what waits is sent, but a service that hangs keeps nobody.
func TestFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, counts, _ := newNotifier(t)
		slow := &desk{send: func(int) error { time.Sleep(time.Second); return nil }}
		hangs := &desk{send: func(int) error { time.Sleep(time.Hour); return nil }}
		n.add("slow", slow.take)
		n.add("hangs", hangs.take)
		ctx, cancel := context.WithCancel(t.Context())
		n.Tell(Notice{Event: Rebooting, Node: "a", Message: "Going."})
		began := time.Now()
		ended := make(chan struct{})
		go func() { defer close(ended); n.Run(ctx) }()
		synctest.Wait()
		cancel()
		<-ended
		if d := time.Since(began); d > 2*farewell || slow.received() != "a: Going." || counts[Sent] != 1 || counts[Failed] != 1 {
			t.Errorf("after %s: %q, %v", d, slow.received(), counts)
		}
		time.Sleep(2 * time.Hour)
	})
}

// A real service, and one that refuses: no part of the URL gets into the log.
func TestNoSecretInTheLog(t *testing.T) {
	bodies := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(text)
		bodies <- string(text)
		if strings.Contains(r.URL.Path, "refuses") {
			http.Error(w, "no: "+r.URL.String(), http.StatusForbidden)
		}
	}))
	defer server.Close()
	n, counts, log := newNotifier(t)
	host := strings.TrimPrefix(server.URL, "http://")
	for _, raw := range []string{
		"generic://" + host + "/hook/TOPSECRET1?disabletls=yes&@authorization=TOPSECRET2",
		"generic://user:TOPSECRET3@" + host + "/refuses/TOPSECRET4?disabletls=yes&token=TOPSECRET5",
		"telegram://123456789:TOPSECRET6abcdefghijklmnopqrstuvwxy@telegram?chats=1234567",
		"generic://127.0.0.1:1/TOPSECRET7%2FTOPSECRET8?disabletls=yes",
	} {
		if err := Check(raw); err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if err := n.Add(raw); err != nil {
			t.Error(err)
		}
	}
	n.lines[2].send = func(string) error { // what the library says when Telegram can't be reached
		return errors.New(scrub(`Post "https://api.telegram.org/bot123456789:TOPSECRET6abcdefghijklmnopqrstuvwxy/sendMessage": EOF`,
			"telegram://123456789:TOPSECRET6abcdefghijklmnopqrstuvwxy@telegram?chats=1234567"))
	}
	n.Tell(Notice{Event: Rebooting, Node: "a", Message: "Going."})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Run(ctx)
	if body := <-bodies; body == "" || counts[Sent] != 1 || counts[Failed] != 3 {
		t.Errorf("received %q, %v\n%s", body, counts, log)
	}
	if text := log.String(); strings.Contains(text, "SECRET") || !strings.Contains(text, "A notice was not sent.") || !strings.Contains(text, "api.telegram.org") {
		t.Errorf("the log says:\n%s", text)
	}
}

func TestLibraryPanics(t *testing.T) {
	s := service{raw: "slack://hook:TOPSECRET@webhook", locate: func(raw string) (types.Service, error) { panic("bad " + raw) }}
	if err := s.send("x"); err == nil || !strings.Contains(err.Error(), "panicked: bad") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v", err)
	}
}

func TestSlackURL(t *testing.T) {
	got, err := SlackURL(`"https://hooks.slack.com/services/AAAAAAAAA/BBBBBBBBB/123456789123456789123456"`, "kured")
	if want := "slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook?botname=kured"; got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if err := Check(got); err != nil {
		t.Error(err)
	}
}

// Whatever services make of a URL, nothing of its secrets is left, not even a piece.
func TestScrub(t *testing.T) {
	for _, tt := range []struct{ raw, text, want string }{
		{"slack://hook:AAAA-BBBB-hookSECRET@webhook", "services/AAAA/BBBB/hookSECRET: EOF", "services/***/***/***: EOF"},
		{"discord://to-ken_abc@123456789", `Post "https://discord.com/api/webhooks/123456789/to-ken_abc": EOF`, `Post "https://discord.com/api/webhooks/***/***": EOF`},
		{"generic://h/x?token=a%2Bb%2Fc&@Key=k%20e+y", "?token=a%2Bb%2Fc a+b/c; k e y, k+e+y, k%20e%20y", "?***=*** ***; ***, ***, ***"},
		{"generic+http://h/%c3%a9t%c3%a9", "/%C3%A9t%C3%A9 /%c3%a9t%c3%a9 /été", "/*** /*** /***"},
		{"smtp://u:p%40s%3Aw@h/?from=a", "login as u with p@s:w, p%40s%3Aw", "login as u with ***, ***"},
		{"smtp://u:p%22%5Cw@h/", `password "p\"\\w", p"\w`, `password "***", ***`},
		{"smtp://user:abc@h/", "535 abc for user", "535 *** for ***"},
		{"mattermost://u@h/tok/ch", "h/hooks/tok", "h/hooks/***"},
	} {
		if got := scrub(tt.text, tt.raw); got != tt.want {
			t.Errorf("%s: %q becomes %q, want %q", tt.raw, tt.text, got, tt.want)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("slack://hook:AAAA-BBBB@webhook", "secret")
	f.Fuzz(func(_ *testing.T, raw, text string) {
		_ = scrub(text, raw)
		_ = Check(raw)
	})
}
