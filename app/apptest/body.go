package apptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"
)

// Form sends a form, as a browser does.
func Form(values url.Values) RequestOption {
	return func(a *asking) error {
		a.send("application/x-www-form-urlencoded", []byte(values.Encode()))
		return nil
	}
}

// JSON sends the value as JSON.
func JSON(value any) RequestOption {
	return func(a *asking) error {
		content, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("JSON: %w", err)
		}
		a.send("application/json", content)
		return nil
	}
}

// File is a file of a [Multipart] form.
type File struct {
	Field       string
	Name        string // of the file
	ContentType string // "application/octet-stream" when empty
	Content     io.Reader
}

// Multipart sends a form with files.
func Multipart(values url.Values, files ...File) RequestOption {
	return func(a *asking) error {
		var content bytes.Buffer
		form := multipart.NewWriter(&content)
		if err := write(form, values, files); err != nil {
			return fmt.Errorf("Multipart: %w", err)
		}
		a.send(form.FormDataContentType(), content.Bytes())
		return nil
	}
}

func write(form *multipart.Writer, values url.Values, files []File) error {
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range values[name] {
			if err := form.WriteField(name, value); err != nil {
				return err
			}
		}
	}
	for _, file := range files {
		header := make(textproto.MIMEHeader)
		header.Set("Content-Disposition", multipart.FileContentDisposition(file.Field, file.Name))
		if file.ContentType == "" {
			file.ContentType = "application/octet-stream"
		}
		header.Set("Content-Type", file.ContentType)
		part, err := form.CreatePart(header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, file.Content); err != nil {
			return err
		}
	}
	return form.Close()
}
