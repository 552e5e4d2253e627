// Package config reads settings from a file in JSON or TOML: one level of keys,
// each with its line for messages.
package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds what is read: a kernel image given by mistake is not parsed.
const maxFile = 1 << 20

// A Setting is a key of the file and its value.
type Setting struct {
	Key  string
	Line int // from 1
	// Value is a string, bool, int64, float64, or []any or map[string]any
	// of them. TOML has dates besides, as time.Time.
	Value any
}

// Read returns the settings of the file at path in the order of their lines.
// It is JSON if its name ends in .json or its first character is "{", TOML
// otherwise. Errors name the file and, if they can, the line.
func Read(path string) ([]Setting, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s: larger than %d bytes, so hardly a file of settings", path, maxFile)
	case bytes.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%s: not a text file; settings are in TOML or JSON", path)
	}
	parse := parseTOML
	if filepath.Ext(path) == ".json" || bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		parse = parseJSON
	}
	settings, line, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, line, err)
	}
	slices.SortStableFunc(settings, func(a, b Setting) int { return cmp.Compare(a.Line, b.Line) })
	return settings, nil
}

// parseTOML returns the settings in text, or an error and its line.
func parseTOML(text []byte) ([]Setting, int, error) {
	var values map[string]any
	if err := toml.Unmarshal(text, &values); err != nil {
		var p toml.ParseError
		if errors.As(err, &p) {
			return nil, max(1, p.Position.Line), fmt.Errorf("not TOML: %s", p.Message)
		}
		return nil, 1, fmt.Errorf("not TOML: %w", err)
	}
	settings := make([]Setting, 0, len(values))
	for key, value := range values {
		settings = append(settings, Setting{key, tomlLine(text, key), value})
	}
	return settings, 0, nil
}

// tomlLine finds the line that sets key, or begins a table of that name. The
// parser does not tell.
//
// It is a line that looks like it, before which the text is complete, so that it
// is no line of a longer value, and has not the key yet. A later line of that
// kind takes the place of an earlier one, which sets a key of that name in a
// table.
func tomlLine(text []byte, key string) int {
	found := 1
	number, start := 0, 0
	for line := range bytes.Lines(text) {
		number++
		if setsKey(string(line), key) {
			var before map[string]any
			err := toml.Unmarshal(text[:start], &before)
			if _, has := before[key]; err == nil && has {
				break
			} else if err == nil {
				found = number
			}
		}
		start += len(line)
	}
	return found
}

// setsKey reports whether line looks as if it set key, or began its table.
func setsKey(line, key string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, "[\"' \t"), key)
	rest = strings.TrimLeft(rest, "\"' \t")
	return ok && rest != "" && strings.ContainsRune("=.]", rune(rest[0]))
}

// parseJSON returns the settings in text, or an error and its line.
func parseJSON(text []byte) ([]Setting, int, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	line := func() int { return 1 + bytes.Count(text[:d.InputOffset()], []byte("\n")) }
	wrong := func(err error) ([]Setting, int, error) {
		at := line()
		var s *json.SyntaxError
		if errors.As(err, &s) {
			at = 1 + bytes.Count(text[:min(int(s.Offset), len(text))], []byte("\n"))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the file ends too early")
		}
		return nil, at, fmt.Errorf("not JSON: %w", err)
	}
	if t, err := d.Token(); err != nil {
		return wrong(err)
	} else if t != json.Delim('{') {
		return wrong(errors.New("must be an object: { \"kernel\": … }"))
	}
	var settings []Setting
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return wrong(err)
		}
		s := Setting{Key: fmt.Sprint(key), Line: line()}
		if err := d.Decode(&s.Value); err != nil {
			return wrong(err)
		}
		if slices.ContainsFunc(settings, func(o Setting) bool { return o.Key == s.Key }) {
			return nil, s.Line, fmt.Errorf("%q is set twice", s.Key)
		}
		s.Value = plainNumber(s.Value)
		settings = append(settings, s)
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return wrong(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return wrong(errors.New("there is more after the closing brace"))
	}
	return settings, 0, nil
}

// plainNumber makes an int64 of a whole JSON number and a float64 of another.
func plainNumber(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil {
		return n.String()
	}
	return f
}
