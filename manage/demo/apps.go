package demo

import (
	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/manage/demo/sales"
)

// apps are the parts of the site: Django's INSTALLED_APPS.
func apps() []app.App {
	return []app.App{
		sales.App(),
		firstStart(),
	}
}
