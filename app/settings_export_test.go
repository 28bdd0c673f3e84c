package app

import (
	"time"
)

// LoadIn is Load in a folder and environment of the test's own.
func LoadIn(dir string, environ []string, paths ...string) (Settings, error) {
	return load(dir, environ, paths)
}

// Locate is what New does with the errors of others.
func (s Settings) Locate(err error) error { return s.locate(err) }

// ParseDuration is how a duration in the settings is read.
func ParseDuration(text string) (time.Duration, error) { return parseDuration(text) }

// ParseSize is how a number of bytes in the settings is read.
func ParseSize(text string) (int64, error) { return parseSize(text) }

// SplitVariable is how the name of an environment variable is read.
func SplitVariable(name string) ([]string, bool) { return splitVariable(name) }

// Variable is the name that is split back into key.
func Variable(key string) string { return variable(key) }

// Keys are the keys of the fields of Settings, and of db.Settings.
func Keys() (site, database []string) {
	databases, _ := siteSchema().below("DATABASES")
	alias, _ := databases.below("default")
	return siteSchema().keys(), alias.keys()
}

// UpperSnake is how the name of a field becomes a key.
func UpperSnake(name string) string { return upperSnake(name) }
