//go:build unix

package commands_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
)

// A process says what it has recorded; the numbers and the formula are shown.
func TestDbstatus_Advise(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	memory := map[string]db.Settings{"default": {Engine: "sqlite", Name: ":memory:"}}
	answers(t, folder, []live.Advice{{
		Alias: "default", Seconds: 60, Max: 10,
		Early:   live.Load{Rate: 166.2, Time: 0.0031, InUse: 0.51522, Peak: 1.3, Needed: live.Needed(1.3)},
		Without: live.Load{Rate: 166.2, Time: 2.4, InUse: 398.88, Peak: 402.1, Needed: live.Needed(402.1)},
	}, {Alias: "another"}})
	r := run(t, watched(t, folder, memory), "dbstatus", "--advise")
	for _, want := range []string{
		`(?m)^default$`, `(?m)^  PROCESS  CONNECTIONS ARE  RECORDED +λ +W  L = λ × W  BUSIEST 5s  NEEDED$`,
		`(?m)^  \d+ +released early +1m0s  166\.2/s  3\.1ms +0\.52 +1\.30 +5$`,
		`(?m)^  \d+ +kept to the end +1m0s  166\.2/s +2\.4s +398\.9 +402\.1 +463$`,
		`L \+ 3 × √L`, `(?m)^  This load needs MAX_CONNECTIONS: 5 in each process; it is 10\. Without early release it would need 463\.$`,
	} {
		if r.status != 0 || !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("--advise ends with %d and says\n%s%s\nwant %s", r.status, r.out, r.errors, want)
		}
	}
	if strings.Contains(r.out, "another") {
		t.Errorf("it speaks of an alias that the site does not have:\n%s", r.out)
	}
	report := run(t, watched(t, folder, memory), "dbstatus", "--advise", "--json")
	var got []struct{ Advice []live.Advice }
	if err := json.Unmarshal([]byte(report.out), &got); err != nil || len(got) != 1 || len(got[0].Advice) != 1 || got[0].Advice[0].Without.Needed != 463 {
		t.Errorf("for programs it says %v, %+v", err, report)
	}
}

func TestDbstatus_AdviseThatCannotBeGiven(t *testing.T) {
	t.Parallel()
	folder := sockets(t)
	for args, want := range map[string]string{
		"--watch":   "error: --advise looks at a time, and --watch at each moment\nhint: say one of them\n",
		"--for=0s":  "error: --for is 0s; a process records for 1m0s at most\nhint: say a time such as 10s\n",
		"--for=2m":  "error: --for is 2m0s; a process records for 1m0s at most\nhint: say a time such as 10s\n",
		"--for=10s": "error: no process serves this site\n",
	} {
		r := run(t, watched(t, folder, map[string]db.Settings{"default": {Engine: dbtest.SQLite, Name: ":memory:"}}), "dbstatus", "--advise", args)
		if r.status == 0 || !strings.HasPrefix(r.errors, want) {
			t.Errorf("--advise %s: %+v", args, r)
		}
	}
}
