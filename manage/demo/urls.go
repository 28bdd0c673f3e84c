package demo

import (
	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/manage/demo/sales"
)

// urls are the addresses of the site: Django's urlpatterns.
func urls(site *app.Site) {
	site.GET("/", home, app.Name("home"))
	site.GET("/clock/", clock, app.Name("clock"))
	site.GET("/ticks", ticks, app.Name("ticks"))
	site.GET("/slow", slow, app.Name("slow"))
	site.Include("/sales", sales.App())
}
