package reload

import (
	"context"
	"net/http"
)

// Layout is where a program's files lie.
func Layout(roots, extras, embeds []string) layout {
	l := layout{roots: roots, extras: make(map[string]bool), embeds: make(map[string]bool)}
	for _, path := range extras {
		l.extras[path] = true
	}
	for _, dir := range embeds {
		l.embeds[dir] = true
	}
	return l
}

// Kind says what a changed file means.
func (l layout) Kind(path string) string {
	return [...]string{"ignored", "built", "page", "settings"}[l.kindOf(path)]
}

// Watch sends the files of each save.
func Watch(ctx context.Context, l layout, poll bool, resort func(error)) <-chan []string {
	w := watch(ctx, l, poll, resort)
	files := make(chan []string)
	go func() {
		for {
			select {
			case saved := <-w.saves:
				var names []string
				for path := range saved.files {
					names = append(names, path)
				}
				files <- names
			case <-ctx.Done():
				return
			}
		}
	}()
	return files
}

// Follow adds the script to a page.
func Follow(response *http.Response) { follow(response, "7") }
