package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A fileReader walks the nodes of one YAML file, because only they know their
// lines, their spelling, and a null from a key that is not there.
type fileReader struct {
	*findings
	settingsFile
}

func (f *findings) readFile(file settingsFile) tree {
	r := fileReader{f, file}
	data, err := os.ReadFile(file.path)
	if err != nil {
		f.unreadable = true
		f.complain(unreadableFile(file.shown, "", err))
		return nil
	}
	top, mistake := r.parse(data)
	if mistake != nil {
		f.unreadable = true
		f.complain(mistake)
		return nil
	}
	if top == nil {
		return nil
	}
	return r.section(top, siteSchema())
}

// parse returns the map at the top of the file, or nil for an empty file.
func (r fileReader) parse(data []byte) (*yaml.Node, *ConfigError) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, r.syntax(data, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &ConfigError{
			File: r.shown, Line: second.Line, Problem: "a second document begins (---)",
			Hint: "give Load a second file instead",
		}
	case !errors.Is(err, io.EOF):
		return nil, r.syntax(data, err)
	}
	top := deref(document.Content[0])
	switch {
	case isNull(top):
		return nil, nil
	case top.Kind != yaml.MappingNode:
		return nil, &ConfigError{File: r.shown, Line: top.Line, Problem: "has no keys", Hint: "write settings such as DEBUG: true"}
	}
	return top, nil
}

// syntax keeps the words of the parser, but not what it quotes from the file: a
// password that begins with * reads as a reference.
func (r fileReader) syntax(data []byte, err error) *ConfigError {
	m := &ConfigError{
		File: r.shown, Line: badLine(data), cause: err,
		Hint: "check colons and indentation, and put quotes around values with special characters",
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+len(": "):]
	}
	if strings.HasPrefix(text, "unknown anchor") {
		text, m.Hint, m.cause = "a reference (*) to an anchor (&) that is not there", "put quotes around a value that begins with *", nil
	}
	m.Problem = "is no YAML: " + text
	return m
}

// badLine is where the trouble begins: the line after the most lines that are
// well-formed together. The parser names the line where the enclosing map began,
// or none.
func badLine(data []byte) int {
	good := data
	for len(good) > 0 {
		good = good[:bytes.LastIndexByte(good[:len(good)-1], '\n')+1]
		if isYAML(good) {
			break
		}
	}
	return 1 + bytes.Count(good, []byte("\n"))
}

func isYAML(data []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

func (r fileReader) at(n *yaml.Node) place { return place{r.shown, n.Line} }

func (r fileReader) mistake(at *yaml.Node, key, value, problem, hint string) *ConfigError {
	return &ConfigError{File: r.shown, Line: at.Line, Key: key, Value: value, Problem: problem, Hint: hint}
}

// section reads the keys of one map. What is wrong is reported and left out.
func (r fileReader) section(n *yaml.Node, s schema) tree {
	out := tree{}
	for _, pair := range r.pairs(n, s) {
		name := pair.name.Value
		below, ok := s.below(name)
		if !ok {
			mistake, meant := s.unknown(name)
			mistake.File, mistake.Line = r.shown, pair.name.Line
			r.complain(mistake, meant)
			continue
		}
		if value, ok := r.value(pair, below); ok {
			out[strings.ToLower(name)] = value
		}
	}
	return out
}

// value reads what stands at one key: a tree or a *leaf.
func (r fileReader) value(pair pair, s schema) (any, bool) {
	n, at := pair.value, r.at(pair.name)
	switch {
	case !knownTag(n):
		r.complain(r.mistake(n, s.key, "", "begins with a tag (!)", "put quotes around it"))
		return nil, false
	case s.section() && isEmpty(n):
		return r.emptySection(pair, s)
	case s.section() && n.Kind != yaml.MappingNode:
		noteFirst(r.values, strings.ToLower(s.key), at)
		m := notSection(s, at, n.Value)
		if n.Kind == yaml.SequenceNode {
			m.Problem = "is a list"
		}
		r.complainShape(m, false)
		return nil, false
	case s.section():
		r.noteSection(s, at, false)
		return r.section(n, s), true
	case n.Kind == yaml.MappingNode:
		noteFirst(r.sections, strings.ToLower(s.key), at)
		r.complainShape(r.mistake(pair.name, s.key, "", "has keys below it", oneValue(s)), true)
		return nil, false
	}
	noteFirst(r.values, strings.ToLower(s.key), at)
	l := &leaf{schema: s, place: at, dir: filepath.Dir(r.path), text: n.Value, null: isNull(n)}
	if n.Kind == yaml.SequenceNode {
		return r.list(n, l)
	}
	return l, true
}

// emptySection is null, or {}. Files are merged key by key, so it cannot empty
// what an earlier file has; to ignore it silently would look as if it had.
func (r fileReader) emptySection(pair pair, s schema) (any, bool) {
	if earlier, ok := r.sections[strings.ToLower(s.key)]; ok {
		r.complain(r.mistake(pair.name, s.key, pair.value.Value, fmt.Sprintf("is empty, but %s has keys there", earlier),
			"leave it out: files are merged key by key"))
		return nil, false
	}
	r.noteSection(s, r.at(pair.name), true)
	return tree{}, true
}

func (r fileReader) list(n *yaml.Node, l *leaf) (any, bool) {
	l.isList = true
	for _, element := range n.Content {
		element = deref(element)
		if element.Kind != yaml.ScalarNode || isNull(element) || !knownTag(element) {
			r.complain(r.mistake(element, l.key, "", "has an element that is not one value", "write each as plain text"))
			return nil, false
		}
		l.list = append(l.list, listItem{element.Value, r.at(element)})
	}
	return l, true
}

func (f *findings) complainShape(m *ConfigError, section bool) {
	f.complain(m)
	f.misshapen = append(f.misshapen, &misshapen{m, section})
}

// notSection explains one value where keys are expected.
func notSection(s schema, at place, value string) *ConfigError {
	m := &ConfigError{File: at.file, Line: at.line, Key: s.key, Value: s.shown(value), Problem: "is one value"}
	above, name := cutLast(s.key)
	switch {
	case s.aliases():
		m.Hint = "write the aliases below it, default first"
	case above == "DATABASES" && slices.Contains(schema{typ: s.typ}.keys(), strings.ToUpper(name)):
		m.Problem, m.Hint = "stands among the aliases", "write it below one: "+defaultDatabase+"."+strings.ToUpper(name)
	case above == "DATABASES":
		m.Hint = "write ENGINE and NAME below it"
	default:
		m.Hint = "write its keys below it"
	}
	return m
}

func oneValue(s schema) string {
	if s.typ.String() == "[]string" || s.typ.String() == "[]netip.Prefix" {
		return "write a list, [a, b]"
	}
	return "write one value"
}

// A pair is a key with its value, which is no alias any more.
type pair struct{ name, value *yaml.Node }

// pairs returns the keys of a map, then those that it merges in with <<. A key
// that is written twice, in whatever case, is reported.
func (r fileReader) pairs(n *yaml.Node, s schema) []pair {
	var own []pair
	taken := map[string]*yaml.Node{}
	for _, p := range ownPairs(n) {
		name := p.name.Value
		first, twice := taken[strings.ToLower(name)]
		switch {
		case p.name.Kind != yaml.ScalarNode || strings.Contains(name, viperDelimiter):
			r.complain(r.mistake(p.name, s.key, "", "has a key that is no name", "write it in letters"))
		case twice && first.Value == name:
			r.complain(r.mistake(p.name, r.canonical(s, name), "", fmt.Sprintf("is given twice, first in %s", r.at(first)), "keep one of them"))
		case twice:
			r.complain(r.mistake(p.name, r.canonical(s, name), name,
				fmt.Sprintf("is %s of %s in another spelling", first.Value, r.at(first)), "keep one of them: case does not count"))
		default:
			taken[strings.ToLower(name)] = p.name
			own = append(own, p)
		}
	}
	for _, p := range r.merged(n, s, nil) {
		if name := strings.ToLower(p.name.Value); taken[name] == nil {
			taken[name] = p.name
			own = append(own, p)
		}
	}
	return own
}

func (r fileReader) canonical(s schema, name string) string {
	if below, ok := s.below(name); ok {
		return below.key
	}
	return s.path(strings.ToUpper(name))
}

// merged returns what << brings into a map, nearest first.
func (r fileReader) merged(n *yaml.Node, s schema, within []*yaml.Node) []pair {
	var all []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() != "!!merge" {
			continue
		}
		sources := []*yaml.Node{deref(n.Content[i+1])}
		if sources[0].Kind == yaml.SequenceNode {
			sources = sources[0].Content
		}
		for _, source := range sources {
			source = deref(source)
			if source.Kind != yaml.MappingNode || slices.Contains(within, source) {
				r.complain(r.mistake(n.Content[i], s.path("<<"), "", "merges what is no map", "refer to a map with *name"))
				continue
			}
			all = append(all, ownPairs(source)...)
			all = append(all, r.merged(source, s, append(within, n, source))...)
		}
	}
	return all
}

// ownPairs are the nodes of a map, without <<.
func ownPairs(n *yaml.Node) []pair {
	var all []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() != "!!merge" {
			all = append(all, pair{n.Content[i], deref(n.Content[i+1])})
		}
	}
	return all
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func isEmpty(n *yaml.Node) bool {
	return isNull(n) || n.Kind == yaml.MappingNode && len(n.Content) == 0
}

func knownTag(n *yaml.Node) bool {
	return slices.Contains([]string{
		"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq", "!!merge",
	}, n.ShortTag())
}
