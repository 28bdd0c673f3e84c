package app

import (
	"context"
	"log/slog"
	"reflect"
)

// logTotals writes what was counted since the site was made, under the keys that [Status]
// has for it: the last lines of a process, after which nobody can ask it.
func (s *Site) logTotals() {
	status := s.Status()
	s.logger.LogAttrs(context.Background(), slog.LevelInfo, "app: stopped", totals(status.Site)...)
	for _, d := range status.Databases {
		s.logger.LogAttrs(context.Background(), slog.LevelInfo, "app: a database is closed",
			append([]slog.Attr{slog.String(keyAlias, d.Alias)}, totals(d.Numbers)...)...)
	}
}

// totals are the fields that count, and do not tell of a moment: those are of type int.
// Zeros are left out.
func totals(numbers any) (attrs []slog.Attr) {
	v := reflect.ValueOf(numbers)
	for i := range v.NumField() {
		field, key := v.Field(i), v.Type().Field(i).Tag.Get("json")
		switch {
		case field.IsZero():
		case field.Kind() == reflect.Int64:
			attrs = append(attrs, slog.Int64(key, field.Int()))
		case field.Kind() == reflect.Float64:
			attrs = append(attrs, slog.Float64(key, field.Float()))
		}
	}
	return attrs
}
