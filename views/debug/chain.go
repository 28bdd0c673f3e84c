package debug

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// link is one error of the tree that an error is.
type link struct {
	Depth int
	Type  string
	Text  string
}

const (
	mostLinks = 40
	mostLooks = 200
	mostDepth = 12
)

// chain lists an error and what it wraps, the outermost first. What says no more than
// the one around it is left out.
func chain(err error) (links []link, more bool) {
	var walk func(err error, depth int, said string)
	walk = func(err error, depth int, said string) {
		if err == nil {
			return
		}
		if len(links) == mostLinks || depth == mostDepth {
			more = true
			return
		}
		text, inner := textOf(err), unwrap(err)
		if text != said || !isWrapping(err) {
			links = append(links, link{depth, typeOf(err), text})
			depth++
		}
		for _, e := range inner {
			walk(e, depth, text)
		}
	}
	walk(err, 0, "")
	return links, more
}

// textOf is what an error says. One that panics, says so.
func textOf(err error) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprintf("(the Error method of %T panics: %s)", err, textOfAny(v))
		}
	}()
	return err.Error()
}

// textOfAny is what a value says. Package fmt catches the panics of its methods.
func textOfAny(v any) string { return fmt.Sprint(v) }

// unwrap is what an error wraps. One that panics wraps nothing.
func unwrap(err error) (inner []error) {
	defer func() {
		if recover() != nil {
			inner = nil
		}
	}()
	switch e := err.(type) { //nolint:errorlint // the tree is walked node by node
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// look visits the errors of the tree, the outermost first, until one is what is looked
// for. A tree may be large, or a circle.
func look(err error, found func(error) bool) {
	left := mostLooks
	var walk func(error, int) bool
	walk = func(err error, depth int) bool {
		if left--; err == nil || left < 0 || depth > mostDepth {
			return false
		}
		if found(err) {
			return true
		}
		for _, e := range unwrap(err) {
			if walk(e, depth+1) {
				return true
			}
		}
		return false
	}
	walk(err, 0)
}

// typeOf is the type of an error; those that only carry a text have none.
func typeOf(v any) string {
	if isWrapping(v) {
		return ""
	}
	return fmt.Sprintf("%T", v)
}

func isWrapping(v any) bool {
	if v == nil {
		return true
	}
	switch reflect.TypeOf(v).String() {
	case "*errors.errorString", "*errors.joinError", "*fmt.wrapError", "*fmt.wrapErrors", "*pool.class", "*pool.databaseError":
		return true
	}
	return false
}

// hintOf is what an error says about what to do now: its Hint method, or, of an error
// that the framework has made, what stands behind the last semicolon.
func hintOf(err error) string {
	hint, says := "", false
	look(err, func(e error) bool {
		hint, says = ownHint(e)
		return says
	})
	if says {
		return hint
	}
	look(err, func(e error) bool {
		text := textOf(e)
		if !isOurs(text) || len(unwrapOurs(e)) > 0 {
			return false
		}
		if i := strings.LastIndex(text, "; "); i >= 0 {
			hint = text[i+2:]
		}
		return hint != ""
	})
	return hint
}

// unwrapOurs are the errors in e that are the framework's, and say more by themselves.
func unwrapOurs(e error) (ours []error) {
	for _, inner := range unwrap(e) {
		if text := textOf(inner); inner != nil && isOurs(text) && strings.Contains(text, "; ") {
			ours = append(ours, inner)
		}
	}
	return ours
}

func isOurs(text string) bool {
	return strings.HasPrefix(text, "db: ") || strings.HasPrefix(text, "app: ") && !strings.HasPrefix(text, "app: panic: ")
}

// ownHint asks an error for its hint. One that has the method has the last word, also
// when it has none.
func ownHint(err error) (hint string, says bool) {
	defer func() {
		if recover() != nil {
			hint, says = "", false
		}
	}()
	if h, ok := err.(interface{ Hint() string }); ok {
		return h.Hint(), true
	}
	return "", false
}

// templatePlace finds where in a template an error happened: html/template names the
// file and the line in its text.
func templatePlace(text string) (name string, line int) {
	at := regexp.MustCompile(`(?:template: |html/template:|named at )"?([^\s:"]+):(\d+)`).FindStringSubmatch(text)
	if at == nil {
		return "", 0
	}
	line, err := strconv.Atoi(at[2])
	if err != nil {
		return "", 0
	}
	return at[1], line
}
