package app

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	bunschema "github.com/uptrace/bun/schema"

	"github.com/goquintet/quintet/db"
)

// checkModels maps every model as bun will, which panics at the first query
// otherwise.
func checkModels(s *Site, apps []App) (found []Problem) {
	tables := s.modelTables()
	if tables == nil {
		return nil
	}
	owners := make(map[string]string)   // by table
	seen := make(map[reflect.Type]bool) // one model may be listed by two apps
	for _, a := range s.apps {
		asked := slices.ContainsFunc(apps, func(b App) bool { return b.Name == a.Name })
		for i, model := range a.Models {
			object := fmt.Sprintf("%s.Models[%d]", a.Name, i)
			typ := reflect.TypeOf(model)
			if typ == nil || typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
				if asked {
					found = append(found, known("quintet.E001", object, fmt.Sprintf("is a %T, not a pointer to a struct", model), "write (*Poll)(nil)"))
				}
				continue
			}
			if seen[typ] {
				continue
			}
			seen[typ] = true
			object = a.Name + "." + typ.Elem().Name()
			table, problem := mapModel(tables, typ)
			if problem != "" && asked {
				found = append(found, known("quintet.E001", object, "cannot be mapped: "+problem, "correct the tags of its fields"))
			}
			if problem != "" {
				continue
			}
			owner, taken := owners[table.Name]
			if !taken {
				owners[table.Name] = object
			}
			if asked {
				found = append(found, examineTable(table, object, owner)...)
			}
		}
	}
	return found
}

// modelTables maps models for the engine of the default database; nil on a site
// without one.
func (s *Site) modelTables() *bunschema.Tables {
	settings, ok := s.connections.Settings(db.DefaultAlias)
	if !ok {
		return nil
	}
	for _, engine := range s.options.Engines {
		if engine.Name() == settings.Engine {
			return engine.Dialect().Tables()
		}
	}
	return nil
}

// mapModel returns the table of a model, or why there is none.
func mapModel(tables *bunschema.Tables, model reflect.Type) (table *bunschema.Table, problem string) {
	defer func() {
		if value := recover(); value != nil {
			problem = strings.TrimPrefix(fmt.Sprint(value), "bun: ")
		}
	}()
	return tables.Get(model), ""
}

// examineTable looks at one table; owner is the model that has its name already.
func examineTable(table *bunschema.Table, object, owner string) (found []Problem) {
	if owner != "" {
		found = append(found, known("models.E028", object, fmt.Sprintf("the table %q is that of %s, too", table.Name, owner), "give one of them another table"))
	}
	if len(table.PKs) == 0 {
		found = append(found, known("quintet.W014", object, "has no primary key: it cannot be iterated, updated by its key or referred to",
			"say `bun:\",pk\"` at the field that identifies it"))
	}
	columns := make(map[string]string)
	for _, field := range table.Fields {
		if other, taken := columns[field.Name]; taken && other != field.GoName {
			found = append(found, known("models.E007", object, fmt.Sprintf("the fields %s and %s have one column, %q", other, field.GoName, field.Name), "name another column in one of them"))
			continue
		}
		columns[field.Name] = field.GoName
	}
	return found
}
