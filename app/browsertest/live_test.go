package browsertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/goquintet/quintet/app"
	"github.com/goquintet/quintet/app/apptest"
	"github.com/goquintet/quintet/app/live"
	"github.com/goquintet/quintet/db"
	"github.com/goquintet/quintet/db/dbtest"
	"github.com/goquintet/quintet/manage/demo"
)

// liveDemo is the demo with DEBUG, and with it the live page.
func liveDemo(t *testing.T, connections int) *apptest.Site {
	t.Helper()
	return apptest.New(t, func() (*app.Site, error) {
		return demo.NewWith(app.Settings{Databases: map[string]db.Settings{db.DefaultAlias: {
			Engine: dbtest.SQLite, Name: "db.sqlite3", ConnMaxAge: time.Minute, MaxConnections: connections, HoldIdleWarn: time.Second,
			AcquireTimeout: limit, ConnectTimeout: limit, // of a machine with much to do
		}}})
	}, apptest.RealCommits(), apptest.Settings(func(s *app.Settings) { s.Debug, s.LogLevel = true, slog.LevelError+1 }))
}

// stream reads one answer until its first line is there, and goes on until the test is over
// or stop is called.
func stream(t *testing.T, url string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(response.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, lines)
		_ = response.Body.Close()
	}()
	stop = func() {
		cancel()
		<-over
	}
	t.Cleanup(stop)
	return stop
}

func get(t *testing.T, url string) string {
	t.Helper()
	return getWith(t, http.DefaultClient, url)
}

func getWith(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Get(url) //nolint:noctx // it ends with its server
	if err != nil {
		t.Error(err)
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusInternalServerError {
		t.Errorf("%s: %s, %v", url, response.Status, err)
	}
	return string(body)
}

// until waits for an expression to become true in the page. The page's policy forbids
// it to evaluate text by itself, as the driver's own polling would.
func until(t *testing.T, page context.Context, expression string) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(limit); ; <-again.C {
		if see(t, page, chromedp.Evaluate[bool]("(() => { try { return !!("+expression+") } catch { return false } })()")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never becomes true: %s\n%s", expression, see(t, page, chromedp.Evaluate[string]("document.body.innerText")))
		}
	}
}

// A running stream shows its hold ending before its first chunk. With KeepConnection it
// shows that it holds, and for how long idle.
func TestTheLivePageShowsWhenAStreamLetsGo(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]screen{
		"1280-light": {width: 1280, height: 900}, "1280-dark": {width: 1280, height: 900, dark: true},
		"390-light": {width: 390, height: 844}, "390-dark": {width: 390, height: 844, dark: true},
	} {
		t.Run(name, func(t *testing.T) {
			url := liveDemo(t, 10).LiveServer().URL
			page := browser(t, s)
			do(t, page, chromedp.Navigate(url+"/__quintet__/"), chromedp.WaitVisible("#state.live"))
			for range 3 {
				get(t, url+"/sales/")
			}
			stream(t, url+"/slow?chunks=1000&delay=300ms")
			const row = `[...document.querySelectorAll("#records button")].find(b => b.querySelector(".badge").textContent === "stream" && %s)`
			free := fmt.Sprintf(row, `b.innerText.includes("holds nothing")`)
			until(t, page, free+` !== undefined`)
			until(t, page, free+`.querySelector(".b-ticks").getAttribute("d").split("M").length > 3`)
			if d := see(t, page, chromedp.Evaluate[string](free+`.querySelector(".b-warn").getAttribute("d") ?? ""`)); d != "" {
				t.Errorf("a stream that holds nothing has the colour of a warning: %q", d)
			}
			released := see(t, page, chromedp.Evaluate[recorded](fmt.Sprintf(`fetch("records/" + %s.dataset.id).then(r => r.json())`, free), chromedp.EvalAwaitPromise))
			if len(released.Holds) != 1 || released.Holds[0].Back == nil || released.First == nil || *released.Holds[0].Back >= *released.First || released.Keeps || released.Holds[0].Reason != "stream" {
				t.Errorf("the hold of /slow is %+v; want one that ended before the first byte", released)
			}

			stream(t, url+"/slow?chunks=1000&delay=300ms&keep=yes")
			kept := fmt.Sprintf(row, `b.innerText.includes("holds default #")`)
			until(t, page, kept+` !== undefined`)
			until(t, page, kept+`.querySelector(".b-warn").getAttribute("d") !== ""`)
			until(t, page, `document.querySelector(".wires .alarm") !== null && document.querySelector(".wires .b-warn[d^=M]") !== null && document.querySelector(".slots .late") !== null`)
			holding := see(t, page, chromedp.Evaluate[recorded](fmt.Sprintf(`fetch("records/" + %s.dataset.id).then(r => r.json())`, kept), chromedp.EvalAwaitPromise))
			if len(holding.Holds) != 1 || holding.Holds[0].Back != nil || !holding.Keeps || len(holding.Leases) != 1 || !strings.HasPrefix(holding.Leases[0].At, "demo/slow.go:") {
				t.Errorf("the hold of /slow with keep=yes is %+v; want one that goes on, with its place", holding)
			}
			for range 5 {
				get(t, url+"/sales/1/")
			}
			get(t, url+"/nothing/here")
			until(t, page, `[...document.querySelectorAll("#records .name")].some(e => e.textContent === "GET (no route)")`)
			until(t, page, `/idle ([3-9]|\d\d)/.test(`+kept+`.innerText)`)
			do(t, page, chromedp.Evaluate[chromedp.Void](`document.querySelectorAll(".totals").forEach(d => { d.open = true })`))
			until(t, page, `/requests\s*\d+/.test(document.getElementById("totals").innerText) && /statements\s*\d+/.test(document.querySelector(".database .totals").innerText)`)
			if wide := see(t, page, chromedp.Evaluate[bool]("document.documentElement.scrollWidth > innerWidth")); wide {
				t.Error("the page is wider than its window")
			}
			accessible(t, page)
			screenshot(t, page, "live-"+name)
			do(t, page, chromedp.Evaluate[chromedp.Void](`scrollTo(0, document.body.scrollHeight)`))
			screenshot(t, page, "live-end-"+name)

			// By keyboard: a row, its details, a plan, and back.
			do(t, page, chromedp.Focus("#records button[tabindex='0']"), chromedp.KeyEvent("\r"), chromedp.WaitVisible("#detail[open] .statements"))
			do(t, page, chromedp.Click("#detail button[aria-label^=Explain]"), chromedp.WaitVisible("#detail .plan"))
			if plan := see(t, page, chromedp.Text("#detail .plan")); !strings.Contains(plan, "SCAN") && !strings.Contains(plan, "SEARCH") {
				t.Errorf("the plan is %q", plan)
			}
			if wide := see(t, page, chromedp.Evaluate[bool]("document.querySelector('dialog').scrollWidth > document.querySelector('dialog').clientWidth")); wide {
				t.Error("the details are wider than their window")
			}
			accessible(t, page)
			screenshot(t, page, "live-detail-"+name)
			do(t, page, chromedp.KeyEvent("\x1b"), chromedp.WaitNotPresent("#detail[open]"))
		})
	}
}

// recorded is what the page is told of a record.
type recorded struct {
	Name  string
	Keeps bool
	First *float64
	Holds []struct {
		Reason           string
		Asked, Got, Back *float64
	}
	Leases []struct{ At string }
}

// Who waits for a connection stands in the queue, beside whom they wait for.
func TestTheLivePageShowsWhoWaits(t *testing.T) {
	t.Parallel()
	url := liveDemo(t, 1).LiveServer().URL
	page := browser(t, desktop())
	do(t, page, chromedp.Navigate(url+"/__quintet__/"), chromedp.WaitVisible("#state.live"))
	letGo := stream(t, url+"/slow?chunks=1000&delay=100ms&keep=yes")
	answered := make(chan string, 1)
	go func() {
		response, err := http.Get(url + "/sales/")
		if err != nil {
			answered <- err.Error()
			return
		}
		answered <- response.Status
		_ = response.Body.Close()
	}()
	until(t, page, `document.querySelector("#queue .cards")?.innerText.includes("GET /sales/")`)
	until(t, page, `[...document.querySelectorAll("#records button")].some(b => b.innerText.includes("waits for a connection") && b.querySelector(".b-wait").getAttribute("d") !== "")`)
	until(t, page, `document.querySelector(".gauges .alarm") !== null && document.querySelector(".wires .alarm") !== null`)
	accessible(t, page)
	screenshot(t, page, "live-queue")
	letGo()
	if status := <-answered; status != "200 OK" {
		t.Errorf("who waited is answered with %s", status)
	}
	until(t, page, `document.querySelector("#queue .cards") === null`)
}

// The page stays as small as it is, and so does what the server keeps, however many
// requests there are.
func TestTheLivePageIsBoundedUnderLoad(t *testing.T) {
	t.Parallel()
	const requests, clients = 10_000, 4
	site := liveDemo(t, 10)
	url := site.LiveServer().URL
	page := browser(t, desktop())
	do(t, page, chromedp.Navigate(url+"/__quintet__/"), chromedp.WaitVisible("#state.live"))
	stream(t, url+"/slow?chunks=10000&delay=10ms")
	weigh := func(when string) {
		t.Helper()
		nodes := see(t, page, chromedp.Evaluate[int]("document.querySelectorAll('*').length"))
		rows := see(t, page, chromedp.Evaluate[int]("document.querySelectorAll('#records li').length"))
		records := see(t, page, chromedp.Evaluate[int]("Number(document.getElementById('records').dataset.kept)"))
		heap := see(t, page, chromedp.Evaluate[int]("performance.memory.usedJSHeapSize"))
		kept := site.Recorder().Kept()
		t.Logf("%s: %d nodes, %d rows, %d records and %.1f MB of JavaScript in the browser; in the server %+v", when, nodes, rows, records, float64(heap)/1e6, kept)
		if nodes > 2_000 || rows > 40 || records > 300 {
			t.Errorf("%s the browser has %d nodes, %d rows, %d records", when, nodes, rows, records)
		}
		if kept.Finished > live.MostFinished || kept.Running > live.MostRunning || kept.Ticks > (kept.Finished+kept.Running)*live.MostTicks ||
			kept.Holds > (kept.Finished+kept.Running)*live.MostHolds || kept.Statements > (kept.Finished+kept.Running)*live.MostStatements {
			t.Errorf("%s the server keeps %+v", when, kept)
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	for part := range 4 {
		began := time.Now()
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for range requests / clients / 4 {
					getWith(t, client, url+"/sales/1/")
				}
			})
		}
		all.Wait()
		weigh(fmt.Sprintf("after %d requests, %.0f a second", (part+1)*requests/4, requests/4/time.Since(began).Seconds()))
	}
	if total := site.Recorder().Kept().Total; total < requests {
		t.Errorf("%d requests were recorded", total)
	}
	until(t, page, fmt.Sprintf(`Number(document.getElementById("counts").textContent.match(/([\d,]+) finished/)[1].replaceAll(",", "")) >= %d`, requests))
}

// accessible has axe look at the page, for everything up to level AA.
func accessible(t *testing.T, page context.Context) {
	t.Helper()
	path := os.Getenv("QUINTET_AXE")
	if path == "" {
		if strings.Contains(os.Getenv("QUINTET_REQUIRE"), "axe") {
			t.Fatal("QUINTET_AXE does not name axe.min.js of the npm package axe-core")
		}
		t.Log("QUINTET_AXE does not name axe.min.js of the npm package axe-core: nobody looks for barriers")
		return
	}
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	do(t, page, chromedp.Evaluate[chromedp.Void](string(script)))
	found := see(t, page, chromedp.Evaluate[struct {
		Passes     int
		Violations []struct {
			ID, Impact, Help string
			Nodes            []struct{ HTML, FailureSummary string }
		}
	}](`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}).then(r => ({violations: r.violations, passes: r.passes.length}))`, chromedp.EvalAwaitPromise))
	if found.Passes < 10 {
		t.Errorf("axe has looked at %d rules only", found.Passes)
	}
	for _, v := range found.Violations {
		for _, node := range v.Nodes[:min(3, len(v.Nodes))] {
			t.Errorf("%s (%s): %s\n%s\n%s", v.ID, v.Impact, v.Help, node.HTML, node.FailureSummary)
		}
	}
}
