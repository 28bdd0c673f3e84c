package views

// BindError is
type BindError struct{ Fields []FieldError }

// FieldError is
type FieldError struct{ Field, Message string }

func (e *BindError) Error() string   { return "" }
func (e *BindError) message() string { return "" }

// Bind is
func (r *Request) Bind(dst any) error { return nil }
