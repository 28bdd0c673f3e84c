package sales

import "github.com/goquintet/quintet/app"

// urls are the addresses of the app, below the one where the site includes it.
func urls(g *app.Group) {
	g.GET("/", List, app.Name("sales"))
	g.GET("/{id}/", Detail, app.Name("sale"))
	g.GET("/export.csv", Export, app.Name("sales-export"))
}
