package commands

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/goquintet/quintet/app"
)

func (c *cli) listurlsCommand() *cobra.Command {
	var (
		prefix, format string
		unsorted       bool
	)
	cmd := &cobra.Command{
		Use: "listurls", Short: "List the addresses of the site, and what answers them", GroupID: groupDevelopment,
		Long: "List the addresses of the site, and what answers them: pattern, methods, name, view\n" +
			"with file and line, and the app that brings the route. GET answers HEAD as well",
		Args: atMost(0), Annotations: map[string]string{needsSite: "yes"},
		RunE: c.onSite(func(_ context.Context, site *app.Site, _ []string) error {
			if format != "table" && format != "json" {
				return misuse(meant(format, []string{"table", "json"}, "say "), "there is no format %q", format)
			}
			addresses := addressesOf(site, prefix)
			if len(addresses) == 0 {
				return noAddresses(site, prefix)
			}
			if !unsorted {
				slices.SortStableFunc(addresses, func(a, b address) int { return strings.Compare(a.Pattern, b.Pattern) })
			}
			return c.listurls(addresses, format)
		}),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&prefix, "prefix", "", "only patterns that begin with `PATH`")
	cmd.Flags().StringVar(&format, "format", "table", "`FORMAT`: table, or json for programs")
	cmd.Flags().BoolVar(&unsorted, "unsorted", false, "in the order of registration")
	return cmd
}

// address is one pattern with the view that answers it for some methods.
type address struct {
	Pattern string   `json:"pattern"`
	Methods []string `json:"methods"` // empty is any
	Name    string   `json:"name"`
	View    string   `json:"view"`
	Source  string   `json:"source"`
	App     string   `json:"app"`
}

// addressesOf puts routes together that differ in their method only.
func addressesOf(site *app.Site, prefix string) (all []address) {
	for _, r := range site.Routes() {
		if !strings.HasPrefix(r.Pattern, prefix) {
			continue
		}
		a := address{r.Pattern, []string{}, r.Name, r.View, r.Source, r.App}
		same := func(b address) bool {
			return b.Pattern == a.Pattern && b.Name == a.Name && b.View == a.View && b.Source == a.Source && r.Method != "" && len(b.Methods) > 0
		}
		if i := slices.IndexFunc(all, same); i >= 0 {
			all[i].Methods = append(all[i].Methods, r.Method)
			continue
		}
		if r.Method != "" {
			a.Methods = append(a.Methods, r.Method)
		}
		all = append(all, a)
	}
	return all
}

func noAddresses(site *app.Site, prefix string) error {
	if len(site.Routes()) == 0 {
		return &Error{Problem: "this site has no routes", Hint: "register them in app.Options.Routes"}
	}
	return &Error{Problem: "no pattern begins with " + prefix, Hint: "begin with a slash, or leave --prefix out"}
}

func (c *cli) listurls(addresses []address, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(c.env.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(addresses)
	}
	table := tabwriter.NewWriter(c.env.Stdout, 0, 0, 2, ' ', 0)
	line := func(cells ...string) {
		for i, cell := range cells {
			if cell == "" {
				cells[i] = "-"
			}
		}
		_, _ = table.Write([]byte(strings.Join(cells, "\t") + "\n")) // Flush has the error
	}
	line("PATTERN", "METHODS", "NAME", "VIEW", "SOURCE", "APP")
	for _, a := range addresses {
		methods := strings.Join(a.Methods, ",")
		if methods == "" {
			methods = "any"
		}
		line(a.Pattern, methods, a.Name, a.View, a.Source, a.App)
	}
	return table.Flush()
}
