package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// nameByte marks the bytes of a name: [A-Za-z0-9_:.-].
var nameByte = func() (t [256]bool) {
	for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:.-") {
		t[b] = true
	}
	return t
}()

func checkName(what string, b []byte) error {
	if len(b) == 0 || len(b) > MaxName {
		return badRequest("%s has %d bytes, must have 1 to %d", what, len(b), MaxName)
	}
	for _, c := range b {
		if !nameByte[c] {
			return badRequest("%s is %q, may hold A-Z a-z 0-9 _ : . - only", what, clip(b))
		}
	}
	return nil
}

func checkOptionalName(what string, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return checkName(what, b)
}

func checkMethod(b []byte) error {
	if err := checkName("method", b); err != nil {
		return err
	}
	if bytes.IndexByte(b, '.') >= 0 {
		return badRequest("method is %q, has no dot: in module.Method the last dot separates", clip(b))
	}
	return nil
}

func checkSize(what string, b []byte, limit int) error {
	if len(b) > limit {
		return badRequest("%s has %d bytes, must have at most %d", what, len(b), limit)
	}
	return nil
}

// checkPrintable takes printable ASCII of at most limit bytes, which may be empty.
func checkPrintable(what string, b []byte, limit int) error {
	if err := checkSize(what, b, limit); err != nil {
		return err
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return badRequest("%s is %q, may hold printable ASCII only", what, clip(b))
		}
	}
	return nil
}

func checkText(what string, b []byte, limit int) error {
	if err := checkSize(what, b, limit); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return badRequest("%s is not UTF-8", what)
	}
	return nil
}

// CheckName reports what is wrong with a module, group, instance or node name, or nil. what names it in the error,
// an *Error.
func CheckName(what, name string) error { return checkName(what, []byte(name)) }

// CheckMethod reports what is wrong with a method's name, or nil. The error is an *Error.
func CheckMethod(name string) error { return checkMethod([]byte(name)) }

// SplitMethod splits "module.Method" at the last dot and checks both names. The error is an *Error.
func SplitMethod(full string) (module, method string, err error) {
	dot := strings.LastIndexByte(full, '.')
	if dot < 0 {
		return "", "", badRequest("%q has no dot, must be module.Method", clip([]byte(full)))
	}
	module, method = full[:dot], full[dot+1:]
	if err := CheckName("module", module); err != nil {
		return "", "", err
	}
	if err := CheckMethod(method); err != nil {
		return "", "", err
	}
	return module, method, nil
}
