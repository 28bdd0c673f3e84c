package app

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/goquintet/quintet/views"
)

// serveStatic makes a site in DEBUG serve its static files, unless it does so by
// itself. In production they are served by others.
func (s *Site) serveStatic() {
	if !s.settings.Debug || !strings.HasPrefix(s.settings.StaticURL, "/") || len(s.static) == 0 {
		return
	}
	path := s.settings.StaticURL + "{path...}"
	for _, r := range s.table {
		if p, err := parsePattern("", path); err == nil && p.shape() == r.pattern.shape() {
			return
		}
	}
	s.GET(path, s.staticFile)
}

func (s *Site) staticFile(r *views.Request) (views.Response, error) {
	name := r.PathValue("path")
	for _, folder := range s.static {
		info, err := fs.Stat(folder, name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || err == nil && info.IsDir() {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("app: static file %q: %w", name, err)
		}
		header := http.Header{"Cache-Control": {"no-cache"}} // which is: ask whether it has changed
		if info.ModTime().IsZero() {                         // as all embedded files are
			tag, err := contentTag(folder, name)
			if err != nil {
				return nil, fmt.Errorf("app: static file %q: %w", name, err)
			}
			header["Etag"] = []string{tag}
		}
		return views.File{FS: folder, Name: name, Header: header}, nil
	}
	return nil, views.ErrNotFound
}

func contentTag(folder fs.FS, name string) (tag string, err error) {
	file, err := folder.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return `"` + base64.RawURLEncoding.EncodeToString(hash.Sum(nil)[:15]) + `"`, nil
}

// staticURL is the template function static: Django's {% static %}.
func (s *Site) staticURL(r *views.Request, name string) string {
	address := s.settings.StaticURL + (&url.URL{Path: strings.TrimPrefix(name, "/")}).EscapedPath()
	if strings.HasPrefix(address, "/") {
		address = r.Prefix() + address
	}
	return address
}
