package app_test

import (
	"testing"

	"github.com/goquintet/quintet/app/soaktest"
)

func TestSoak_NothingIsWrongOrLeftAndOnlyWhatAFaultHitsFails(t *testing.T) {
	t.Parallel()
	soaktest.Run(t, nil)
}
