package apptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
)

// Host is what the requests of a [Client] are sent to, unless they say otherwise.
const Host = "testserver"

// Client is a browser without a screen: it sends requests to the site in this
// process and keeps the cookies that it is given. Each request runs on a connection
// of its own, through net/http's client and server and the whole life of a
// request, so that release points, flushes, aborts, deadlines and clients that
// leave are what they are in production. Only the socket is missing.
//
// A request that cannot be made, or is not answered before the test's deadline, ends
// the test, [testing.TB.Fatal]. What the site answers never does. A client may be
// used by several goroutines.
type Client struct {
	// Header is sent with every request that does not set it.
	Header http.Header

	site *Site
	jar  *cookiejar.Jar
}

// NewClient returns another client of the site: one with cookies of its own.
func (s *Site) NewClient() *Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatalf("apptest: %v", err)
	}
	return &Client{Header: make(http.Header), site: s, jar: jar}
}

// Get sends a GET request and reads the answer to its end.
func (c *Client) Get(target string, options ...RequestOption) *Response {
	c.site.t.Helper()
	return c.ask(http.MethodGet, target, options)
}

// Head sends a HEAD request.
func (c *Client) Head(target string, options ...RequestOption) *Response {
	c.site.t.Helper()
	return c.ask(http.MethodHead, target, options)
}

// Post sends a POST request: see [Form], [JSON], [Multipart] and [Body].
func (c *Client) Post(target string, options ...RequestOption) *Response {
	c.site.t.Helper()
	return c.ask(http.MethodPost, target, options)
}

// Put sends a PUT request.
func (c *Client) Put(target string, options ...RequestOption) *Response {
	c.site.t.Helper()
	return c.ask(http.MethodPut, target, options)
}

// Patch sends a PATCH request.
func (c *Client) Patch(target string, options ...RequestOption) *Response {
	c.site.t.Helper()
	return c.ask(http.MethodPatch, target, options)
}

// Delete sends a DELETE request.
func (c *Client) Delete(target string, options ...RequestOption) *Response {
	c.site.t.Helper()
	return c.ask(http.MethodDelete, target, options)
}

// Do sends any request, and reads the answer to its end. A request without a host
// goes to [Host].
func (c *Client) Do(r *http.Request, options ...RequestOption) *Response {
	c.site.t.Helper()
	s := c.do(r, options)
	s.finish()
	return s.Response
}

func (c *Client) ask(method, target string, options []RequestOption) *Response {
	c.site.t.Helper()
	return c.Do(c.request(method, target), options...)
}

func (c *Client) request(method, target string) *http.Request {
	c.site.t.Helper()
	r, err := http.NewRequestWithContext(c.site.patience, method, target, nil)
	if err != nil {
		c.site.t.Fatalf("apptest: %v", err)
	}
	return r
}

// Cookies returns the cookies that the client would send to the path.
func (c *Client) Cookies(path string) []*http.Cookie {
	return c.jar.Cookies(&url.URL{Scheme: "http", Host: Host, Path: path})
}

// SetCookies gives the client cookies, as an answer from the path would.
func (c *Client) SetCookies(path string, cookies ...*http.Cookie) {
	c.jar.SetCookies(&url.URL{Scheme: "http", Host: Host, Path: path}, cookies)
}

// do sends a request, follows what it is told to follow, and returns when the
// headers are there.
func (c *Client) do(r *http.Request, options []RequestOption) *Stream {
	c.site.t.Helper()
	a := &asking{request: r}
	for _, option := range options {
		if err := option(a); err != nil {
			c.site.t.Fatalf("apptest: %v", err)
		}
	}
	if r.URL.Host == "" {
		r.URL.Scheme, r.URL.Host = "http", Host
	}
	for name, values := range c.Header {
		if _, said := r.Header[name]; !said {
			r.Header[name] = values
		}
	}
	return c.send(r, a.follow)
}

func (c *Client) send(r *http.Request, follow bool) *Stream {
	c.site.t.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	s := &Stream{Response: &Response{}, client: c, leave: cancel}
	hops := &hops{network: c.site.network}
	browser := http.Client{Transport: hops, Jar: c.jar, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		switch {
		case !follow, next.URL.Host != r.URL.Host:
			return http.ErrUseLastResponse
		case len(via) >= 20:
			return errors.New("20 redirects")
		}
		s.RedirectChain = append(s.RedirectChain, Redirect{next.Response.StatusCode, next.URL.RequestURI()})
		return nil
	}}
	answer, err := browser.Do(r.WithContext(ctx)) //nolint:bodyclose // the stream closes it
	s.hops = hops.made
	if err != nil {
		c.refused(s, r, err)
		return s
	}
	s.Response.Response = answer
	c.site.opened(s)
	return s
}

// refused is what there is instead of an answer.
func (c *Client) refused(s *Stream, r *http.Request, err error) {
	c.site.t.Helper()
	s.leave()
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if len(s.hops) == 0 || r.Context().Err() != nil {
		c.site.t.Fatalf("apptest: %s %s: %v%s", r.Method, r.URL.RequestURI(), err, c.site.holders())
	}
	s.Response.Response = &http.Response{Request: r, Header: make(http.Header), Body: http.NoBody}
	s.err, s.Broken = err, err
	s.end()
}

// hops carries the requests of one call, each on a connection of its own: none is
// repeated because the site has broken off another one.
type hops struct {
	network *network
	made    []*hop
}

type hop struct {
	*exchange
	transport *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (h *hops) RoundTrip(r *http.Request) (*http.Response, error) {
	x := newExchange()
	transport := &http.Transport{
		DisableCompression: true, // what the site has written is what the test reads
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return h.network.dial(ctx, x) },
	}
	h.made = append(h.made, &hop{x, transport})
	answer, err := transport.RoundTrip(r)
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	return answer, nil
}

// RequestOption is something of a request that most do not need.
type RequestOption func(*asking) error

type asking struct {
	request *http.Request
	follow  bool
}

// Follow has redirects followed, within the host. Without it a redirect is the
// answer.
func Follow() RequestOption {
	return func(a *asking) error {
		a.follow = true
		return nil
	}
}

// Header sets a header.
func Header(name, value string) RequestOption {
	return func(a *asking) error {
		a.request.Header.Set(name, value)
		return nil
	}
}

// Method replaces the method: a [Client.Stream] may answer a POST.
func Method(method string) RequestOption {
	return func(a *asking) error {
		a.request.Method = method
		return nil
	}
}

// To sends the request to another host than [Host]. It has to be one of
// ALLOWED_HOSTS.
func To(host string) RequestOption {
	return func(a *asking) error {
		a.request.URL.Scheme, a.request.URL.Host = "http", host
		return nil
	}
}

// Body sends a body of any kind.
func Body(contentType string, body io.Reader) RequestOption {
	return func(a *asking) error {
		content, err := io.ReadAll(body)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		a.send(contentType, content)
		return nil
	}
}

// send sends a body that can be sent again, after a redirect.
func (a *asking) send(contentType string, content []byte) {
	a.request.Header.Set("Content-Type", contentType)
	a.request.ContentLength = int64(len(content))
	a.request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	a.request.Body = io.NopCloser(bytes.NewReader(content))
}
