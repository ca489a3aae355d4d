package notify

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// service is where notices of one URL go.
type service struct {
	raw string
	// locate finds what can send to the URL.
	locate func(raw string) (types.Service, error)
}

// Check returns an error, without the URL in it, for one that no notice can be sent to.
func Check(raw string) error {
	kind, err := kindOf(raw)
	if err != nil {
		return err
	}
	if kind == "matrix" { // it logs in at once
		return nil
	}
	if _, err := new(router.ServiceRouter).Locate(raw); err != nil {
		return fmt.Errorf("a %s:// URL with all that this service needs (see https://shoutrrr.nickfedor.com)", kind)
	}
	return nil
}

// kindOf is the URL's service, as people call it: it is what the log may say.
func kindOf(raw string) (string, error) {
	r := new(router.ServiceRouter)
	kind, _, err := r.ExtractServiceName(raw)
	if err == nil {
		_, err = r.NewService(kind)
	}
	if err != nil {
		return "", errors.New("a URL whose scheme names a service, such as slack://…, teams://…, smtp://… or generic+https://…")
	}
	return kind, nil
}

// SlackURL is the URL of one of Slack's own hooks, https://hooks.slack.com/services/T…/B…/…, in the form that is used here.
func SlackURL(hook, username string) (string, error) {
	u, err := url.Parse(strings.Trim(hook, `"'`))
	if err != nil {
		return "", errors.New("a URL")
	}
	tokens := strings.Split(strings.Trim(strings.TrimPrefix(u.Path, "/services/"), "/"), "/")
	const parts = 3
	if len(tokens) != parts {
		return "", errors.New("a hook's URL, https://hooks.slack.com/services/T…/B…/…")
	}
	out := url.URL{Scheme: "slack", User: url.UserPassword("hook", strings.Join(tokens, "-")), Host: "webhook"}
	if username != "" {
		out.RawQuery = url.Values{"botname": {username}}.Encode()
	}
	return out.String(), nil
}

// send sends once. Its error has no secret in it. A panic of the library is one: an agent must not die of a chat.
func (s service) send(text string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(scrub(fmt.Sprintf("the library that sends notices panicked: %v", p), s.raw))
		}
	}()
	sender, err := s.locate(s.raw)
	if err == nil {
		err = sender.Send(text, &types.Params{})
	}
	if err != nil {
		return errors.New(scrub(err.Error(), s.raw))
	}
	return nil
}

// scrub takes out of a text whatever of the URL may be a secret: all of it but the service's name. What is longest goes first: what
// is left of a secret with a piece cut out would be one still.
func scrub(text, raw string) string {
	const masked = "***"
	all := secrets(raw)
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range append([]string{raw}, all...) {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

// secrets are the parts of a URL, and the words in them, in all forms in which an error may have them: services take them apart and
// put them together in their own ways.
func secrets(raw string) []string {
	const shortWord, shortPart = 4, 3 // shorter ones are in any text
	scheme, rest, _ := strings.Cut(raw, ":")
	var all []string
	add := func(text string, short int) {
		if len(text) >= short && !strings.HasPrefix(scheme, text) {
			all = append(all, text)
		}
	}
	for _, part := range strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(":/?&=@#", r) }) {
		for _, form := range forms(part) {
			add(form, shortPart)
		}
	}
	for _, form := range forms(rest) {
		for _, word := range strings.FieldsFunc(form, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }) {
			add(word, shortWord)
		}
	}
	return all
}

// forms are a part of a URL as it is, plain, and plain but for what each place in a URL, or a quoted text, wants escaped.
func forms(part string) []string {
	all := []string{part}
	for _, unescape := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
		plain, err := unescape(part)
		if err != nil || plain == "" {
			continue
		}
		quoted := strconv.Quote(plain)
		all = append(all, plain, url.PathEscape(plain), url.QueryEscape(plain), url.UserPassword("", plain).String()[1:], quoted[1:len(quoted)-1])
	}
	return all
}
