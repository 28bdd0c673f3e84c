package debug

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// How much of it there is at most. What is left out is counted.
const (
	mostText       = 8 << 10 // bytes of the error
	mostHeadline   = 320
	mostLink       = 1 << 10
	mostName       = 200
	mostValue      = 1 << 10 // of a header, a parameter, a setting
	mostStatement  = 1 << 10
	mostValues     = 100 // headers, parameters, fields
	mostExcerpts   = 10
	mostRoutes     = 300
	mostSettings   = 300
	mostHolds      = 64
	mostStatements = 256
	mostHolders    = 10
)

// facts are what a page shows: text that was bounded and has no secrets.
type facts struct {
	Status       int
	Title        string // "500 Internal Server Error"
	Method, Path string
	Type, Text   string
	Headline     string // the first line of Text
	Rest         bool   // Text has more than that
	Hint         string
	Answer       string
	Panicked     bool
	Chain        []link
	MoreLinks    bool
	Excerpts     []excerpt
	MoreExcerpts int
	Stack        []call
	Routes       []Route
	MoreRoutes   int
	RoutesAsked  bool // which there are is the question
	Nearest      string
	Request      []pair
	Groups       []pairs // of the request
	Settings     []Setting
	Defaults     []Setting // that nobody has set
	MoreSettings int
	Scope        *scopeFacts
	Holders      []holderFacts
	MoreHolders  int
	Live         string
	CSS          template.CSS
	cannot       []string // parts that could not be made
}

type pair struct{ Name, Value string }

// pairs are values by their names.
type pairs struct {
	Title string
	All   []pair
	More  int
}

// excerpt is a place with the lines around it.
type excerpt struct {
	What  string // why it is shown
	Name  string // of the function, or the template
	At    string
	File  string
	Lines []codeLine
}

// call is a frame of the stack.
type call struct {
	Name, At, File string
	Own            bool
	Kind           string
}

type scopeFacts struct {
	Summary        string
	Holds          []holdFacts
	Statements     []statementFacts
	MoreHolds      int64
	MoreStatements int64
}

type holdFacts struct {
	Alias, Connection   string
	Asked, Waited, Held string
	Idle                string
	End                 string
	At, BackAt          string
	Bad                 bool
}

type statementFacts struct {
	Number           int
	Sent, Took, Rows string
	Text, At, Err    string
	Alias            string
	Control          bool
}

type holderFacts struct{ Name, At, Held, Idle, Statement string }

// maker makes the facts of one failure.
type maker struct {
	in     *Failure
	owners owners
	scrub  *scrubber
	errs   inErrors
	facts  facts
}

func (p *Page) facts(f *Failure) *facts {
	m := &maker{in: f, owners: p.owners}
	m.facts.Status = f.Status
	m.facts.Title = strings.TrimSpace(strconv.Itoa(f.Status) + " " + http.StatusText(f.Status))
	m.scrub = newScrubber(nil, nil)
	// Without the list of what is secret, nothing is shown.
	if !m.make("what is secret", m.learn) {
		return &m.facts
	}
	m.make("the request", m.request)
	m.make("the error", m.error)
	m.make("the code", m.code)
	m.make("the routes", m.routes) // after the error: it is what they have to say
	m.make("the connections", m.connections)
	m.make("the settings", m.settings)
	return &m.facts
}

// make makes a part of the page, which may fail without the others.
func (m *maker) make(what string, part func()) (made bool) {
	defer func() {
		if v := recover(); v != nil {
			m.facts.cannot = append(m.facts.cannot, what)
		}
	}()
	part()
	return true
}

// Cannot are the parts that are missing.
func (f *facts) Cannot() string { return strings.Join(f.cannot, ", ") }

func (m *maker) learn() {
	shown := make(map[string]bool)
	for _, s := range m.in.Settings {
		shown[strings.Trim(s.Value, `"`)] = true // "postgres" is often a password, and always an engine
	}
	secrets := append(slices.Clone(m.in.Secrets), secretsOf(m.in.Request, m.in.Form)...)
	m.scrub = newScrubber(secrets, shown)
	m.errs = newInErrors(m.in.Statements)
}

// show bounds a text, and hides what is secret in it.
func (m *maker) show(text string, most int) string {
	whole := len(text)
	if room := most + m.scrub.longest; whole > room {
		// A secret that is cut in two would not be found.
		text = m.scrub.hide(text[:room])
		text = text[:max(0, min(most, len(text)-m.scrub.longest))]
	} else if text = m.scrub.hide(text); len(text) <= most {
		return strings.ToValidUTF8(text, "\uFFFD")
	} else {
		text = text[:most]
	}
	text = strings.ToValidUTF8(text, "")
	return fmt.Sprintf("%s … (%d bytes more)", text, max(1, whole-len(text)))
}

func (m *maker) error() {
	f := &m.facts
	f.Panicked, f.Live = m.in.Stack != nil, m.in.Live
	f.Answer = m.show(m.in.Answer, mostValue)
	if m.in.Err == nil {
		f.Text = f.Title
		f.Headline = f.Title
		return
	}
	f.Text = m.errorText(textOf(m.in.Err), mostText)
	f.Headline, _, f.Rest = strings.Cut(f.Text, "\n")
	if len(f.Headline) > mostHeadline {
		f.Headline, f.Rest = strings.ToValidUTF8(f.Headline[:mostHeadline], "")+" …", true
	}
	links, more := chain(m.in.Err)
	for _, l := range links {
		if f.Type == "" {
			f.Type = l.Type
		}
		l.Text = m.errorText(l.Text, mostLink)
		f.Chain = append(f.Chain, l)
	}
	if f.Panicked && m.in.Panic != nil {
		f.Type = m.show(fmt.Sprintf("%T", m.in.Panic), mostValue)
	}
	f.MoreLinks = more
	hint := m.in.Hint
	if hint == "" {
		hint = hintOf(m.in.Err)
	}
	f.Hint = m.errorText(hint, mostLink)
}

func (m *maker) errorText(text string, most int) string {
	if room := most*4 + m.scrub.longest; len(text) > room {
		whole := len(text)
		text = m.show(m.errs.hide(text[:room]), most)
		text, _, _ = strings.Cut(text, " … (")
		return fmt.Sprintf("%s … (%d bytes more)", text, whole-len(text))
	}
	return m.show(m.errs.hide(text), most)
}

func (m *maker) routes() {
	f := &m.facts
	f.Nearest = m.show(m.in.Nearest, mostValue)
	if f.RoutesAsked = len(m.in.Routes) > 0 && m.in.Route == ""; f.RoutesAsked {
		f.Headline, f.Type = "No route takes "+strings.TrimSpace(f.Method+" "+f.Path), ""
		f.Text = f.Headline
	}
	for i, r := range m.in.Routes {
		if i == mostRoutes {
			f.MoreRoutes = len(m.in.Routes) - i
			break
		}
		f.Routes = append(f.Routes, Route{
			cmp.Or(r.Method, "any"), m.show(r.Pattern, mostValue), r.Name, m.show(r.View, mostValue), r.At,
		})
	}
}

func (m *maker) settings() {
	f := &m.facts
	for i, s := range m.in.Settings {
		if i == mostSettings {
			f.MoreSettings = len(m.in.Settings) - i
			break
		}
		s.Key, s.Value, s.Origin = m.show(s.Key, mostValue), m.show(s.Value, mostValue), m.show(s.Origin, mostValue)
		if s.Origin == "default" {
			f.Defaults = append(f.Defaults, s)
		} else {
			f.Settings = append(f.Settings, s)
		}
	}
}

func (m *maker) request() {
	r, f := m.in.Request, &m.facts
	if r == nil {
		return
	}
	f.Method = m.show(r.Method, 32)
	address := ""
	if r.URL != nil {
		f.Path = m.show(r.URL.Path, mostValue)
		address = m.address(r)
	}
	add := func(name, value string) {
		if value != "" {
			f.Request = append(f.Request, pair{name, m.show(value, mostValue)})
		}
	}
	add("Address", address)
	add("Route", m.in.Route)
	add("View", m.in.View.Name)
	add("Registered at", m.in.View.At)
	for _, name := range wildcards(r.Pattern) {
		value := r.PathValue(name)
		if namesSecret(name) && value != "" {
			value = hidden
		}
		add("{"+name+"}", value)
	}
	add("Client", r.RemoteAddr)
	add("Protocol", r.Proto)
	add("X-Request-ID", m.in.ID)
	if r.ContentLength > 0 {
		add("Body", strconv.FormatInt(r.ContentLength, 10)+" bytes, not shown")
	} else if r.ContentLength < 0 {
		add("Body", "of unknown length, not shown")
	}
	headers := map[string][]string{"Host": {r.Host}}
	maps.Copy(headers, r.Header)
	for name, values := range headers {
		if name != "Referer" && name != "Origin" {
			continue
		}
		headers[name] = nil
		for _, v := range values {
			headers[name] = append(headers[name], hideURL(v))
		}
	}
	var query url.Values
	if r.URL != nil {
		query = r.URL.Query()
	}
	cookies := make(map[string][]string)
	for _, c := range r.Cookies() {
		cookies[c.Name] = append(cookies[c.Name], hidden)
	}
	f.Groups = []pairs{m.named("Parameters", query), m.named("Form", m.in.Form), m.named("Cookies", cookies), m.named("Headers", headers)}
}

// address is what was asked for. The values of a route's secret wildcards are not in it,
// however short they are.
func (m *maker) address(r *http.Request) string {
	u := url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath}
	path := u.EscapedPath()
	for _, name := range wildcards(r.Pattern) {
		if value := r.PathValue(name); namesSecret(name) && value != "" {
			segments := strings.Split(path, "/")
			for i, s := range segments {
				if plain, err := url.PathUnescape(s); err == nil && plain == value {
					segments[i] = hidden
				}
			}
			path = strings.Join(segments, "/")
			m.facts.Path = m.show(path, mostValue)
		}
	}
	if r.URL.RawQuery != "" {
		path += "?" + hideQuery(r.URL.RawQuery)
	}
	return r.Method + " " + path
}

// named are values by their names, sorted, and without those of secret names.
func (m *maker) named(title string, values map[string][]string) pairs {
	p := pairs{Title: title}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			if len(p.All) == mostValues {
				p.More++
				continue
			}
			if namesSecret(name) && value != "" {
				value = hidden
			}
			p.All = append(p.All, pair{m.show(name, mostName), m.show(value, mostValue)})
		}
	}
	return p
}

// after is a moment, as it is read.
func after(d time.Duration) string { return "+" + spell(d) }

func spell(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
