package browsertest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/goquintet/quintet/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// limit is how long a browser may take to do one thing on a machine with much to do.
const limit = 60 * time.Second

// screen is what a page is looked at on.
type screen struct {
	width, height int64
	dark          bool
}

func desktop() screen { return screen{width: 1280, height: 800} }

// browser starts a Chromium of its own with one empty tab, which ends with the test. It
// speaks to this machine only.
func browser(t *testing.T, s screen) context.Context {
	t.Helper()
	program := chromium(t)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true),
	)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the browser ends with the context that starts it
		t.Fatal(err)
	}
	theme := "light"
	if s.dark {
		theme = "dark"
	}
	do(t, ctx, chromedp.EmulateViewport(s.width, s.height), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		return err
	}))
	return ctx
}

// chromium is the browser of this machine. Without one the test is skipped, or fails when
// QUINTET_REQUIRE says so.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "Chromium is not installed"
	if strings.Contains(os.Getenv("QUINTET_REQUIRE"), "chromium") {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// do takes steps in the browser.
func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// see asks the browser for something.
func see[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// screenshot writes what the browser shows into the folder of $QUINTET_SCREENSHOTS,
// to be looked at. Without the variable there is none.
func screenshot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("QUINTET_SCREENSHOTS")
	if folder == "" {
		return
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder+"/"+name+".png", see(t, ctx, chromedp.CaptureScreenshot()), 0o644); err != nil {
		t.Fatal(err)
	}
}
