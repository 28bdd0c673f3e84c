package views_test

import (
	"mime"
	"net/http"
	"testing"

	"github.com/goquintet/quintet/views"
)

func TestAttachment_NamesAreReadByEveryBrowser(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ header, saved string }{
		"sales.csv":           {`attachment; filename="sales.csv"`, "sales.csv"},
		"all sales (2).csv":   {`attachment; filename="all sales (2).csv"`, "all sales (2).csv"},
		"Größe.csv":           {`attachment; filename="Gr__e.csv"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.csv`, "Größe.csv"},
		"売上.csv":              {`attachment; filename="__.csv"; filename*=UTF-8''%E5%A3%B2%E4%B8%8A.csv`, "売上.csv"},
		`a"b.txt`:             {`attachment; filename="a_b.txt"; filename*=UTF-8''a%22b.txt`, `a"b.txt`},
		"100%25.txt":          {`attachment; filename="100_25.txt"; filename*=UTF-8''100%2525.txt`, "100%25.txt"},
		"a;b='c'.txt":         {`attachment; filename="a;b='c'.txt"`, "a;b='c'.txt"},
		"é*'(1).txt":          {`attachment; filename="_*'(1).txt"; filename*=UTF-8''%C3%A9%2A%27%281%29.txt`, "é*'(1).txt"},
		"../../etc/passwd":    {`attachment; filename=".._.._etc_passwd"`, ".._.._etc_passwd"},
		`..\x.txt`:            {`attachment; filename=".._x.txt"`, ".._x.txt"},
		"x\r\nSet-Cookie: a":  {`attachment; filename="x__Set-Cookie: a"`, "x__Set-Cookie: a"},
		"fdp\u202eexe.\xff.b": {`attachment; filename="fdp_exe._.b"`, "fdp_exe._.b"},
	} {
		responses := map[string]views.Response{
			"File":              views.File{FS: files(), Name: "letters.txt", Attachment: name},
			"StreamingResponse": views.StreamingResponse{Body: chunks("a"), Attachment: name},
		}
		for kind, response := range responses {
			recorder, err := respond(t, nil, response)
			got := recorder.Header().Get("Content-Disposition")
			if err != nil || got != want.header {
				t.Errorf("%s: %q is sent as\n  %s, want\n  %s, %v", kind, name, got, want.header, err)
			}
		}
		if _, params, err := mime.ParseMediaType(want.header); err != nil || params["filename"] != want.saved && params["filename*"] == "" {
			t.Errorf("%q is read as %v, %v", name, params, err)
		}
	}
}

func TestAttachment_IsSaidOnce(t *testing.T) {
	t.Parallel()
	header := http.Header{"content-disposition": {"inline"}}
	for kind, response := range map[string]views.Response{
		"File":              views.File{FS: files(), Name: "letters.txt", Attachment: "a", Header: header},
		"StreamingResponse": views.StreamingResponse{Body: chunks("a"), Attachment: "a", Header: header},
	} {
		recorder, err := respond(t, nil, response)
		wantError(t, err, "views: "+kind, `"inline"`, `Attachment, "a"`, "say it once")
		wantNothingSent(t, recorder)
	}
}

func TestAttachment_LeavesTheHeaderOfTheResponseAlone(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-A": {"b"}}
	for _, response := range []views.Response{
		views.File{FS: files(), Name: "letters.txt", Attachment: "a", Header: header},
		views.StreamingResponse{Body: chunks("a"), Attachment: "a", Header: header},
	} {
		if _, err := respond(t, nil, response); err != nil || len(header) != 1 {
			t.Errorf("the header is %v, %v", header, err)
		}
	}
}
